# On premises: a cluster and an S3-compatible store are there already. This makes the buckets, one a release, with versions and
# a lifecycle, and prints the chart's values. Users and keys are made with the store's own tools: their interfaces differ.
#
# The store's administrator keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region                      = var.region
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  s3_use_path_style           = true

  endpoints {
    s3 = var.endpoint
  }
}

module "stores" {
  source   = "../../modules/store"
  for_each = var.releases

  bucket           = each.value.bucket
  aws              = false
  old_version_days = each.value.old_version_days
}
