# A cluster on AWS with the pools of the chart's examples, and for each release (a centre, or one country of a hub) a bucket,
# a key and a role. Copy this folder, set your variables, and keep the state in a store of your own (a `backend` block).
#
#   terraform init && terraform apply
#   terraform output -json helm_values | jq -r .customs > values.yaml

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
  region = var.region

  default_tags {
    tags = local.tags
  }

  # All of this is for tests against a local stand-in; leave it at its defaults.
  access_key                  = var.stand_in == null ? null : "test"
  secret_key                  = var.stand_in == null ? null : "test"
  skip_credentials_validation = var.stand_in != null
  skip_requesting_account_id  = var.stand_in != null
  skip_metadata_api_check     = var.stand_in != null
  s3_use_path_style           = var.stand_in != null

  endpoints {
    autoscaling = var.stand_in
    ec2         = var.stand_in
    eks         = var.stand_in
    iam         = var.stand_in
    kms         = var.stand_in
    logs        = var.stand_in
    s3          = var.stand_in
    sts         = var.stand_in
  }
}

locals {
  tags = { "tidewaiter/cluster" = var.name }
}

module "network" {
  source = "../../modules/network"
  name   = var.name
  region = var.region
  cidr   = var.cidr
  zones  = var.zones
}

module "cluster" {
  source             = "../../modules/cluster"
  name               = var.name
  kubernetes_version = var.kubernetes_version
  subnet_ids         = module.network.private_subnet_ids
  api_cidrs          = var.api_cidrs
}

module "node_groups" {
  source   = "../../modules/node-group"
  for_each = var.node_groups

  cluster_name       = module.cluster.name
  name               = each.key
  node_role_arn      = module.cluster.node_role_arn
  subnet_ids         = module.network.private_subnet_ids
  kubernetes_version = var.kubernetes_version
  instance_types     = each.value.instance_types
  gpus               = each.value.gpus
  spot               = each.value.spot
  min_nodes          = each.value.min_nodes
  max_nodes          = each.value.max_nodes
  disk_gib           = each.value.disk_gib
  tags               = local.tags
}

module "stores" {
  source   = "../../modules/store"
  for_each = var.releases

  bucket           = each.value.bucket
  old_version_days = each.value.old_version_days
}

module "roles" {
  source   = "../../modules/roles"
  for_each = var.releases

  name              = "${var.name}-${each.key}"
  namespace         = each.key
  oidc_provider_arn = module.cluster.oidc_provider_arn
  oidc_issuer       = module.cluster.oidc_issuer
  bucket_arn        = module.stores[each.key].arn
  key_arn           = module.stores[each.key].key_arn
}
