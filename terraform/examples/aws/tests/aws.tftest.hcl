mock_provider "aws" {
  override_during = plan

  mock_resource "aws_eks_cluster" {
    defaults = {
      identity = [{ oidc = [{ issuer = "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC" }] }]
    }
  }

  mock_resource "aws_eks_node_group" {
    defaults = {
      resources = [{ autoscaling_groups = [{ name = "eks-mock" }] }]
    }
  }

  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:111122223333:key/abc" }
  }

  mock_resource "aws_s3_bucket" {
    defaults = { id = "customs-example-archive", arn = "arn:aws:s3:::customs-example-archive" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/customs-customs" }
  }

  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::111122223333:oidc-provider/oidc.example" }
  }

  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

run "the_values_of_a_release_name_its_archive_and_role" {
  command = plan

  assert {
    condition     = yamldecode(output.helm_values["customs"]).archive.url == "s3://customs-example-archive/archive"
    error_message = "the archive"
  }

  assert {
    condition     = yamldecode(output.helm_values["customs"]).serviceAccounts.annotations["eks.amazonaws.com/role-arn"] == "arn:aws:iam::111122223333:role/customs-customs"
    error_message = "the role"
  }

  assert {
    condition     = keys(yamldecode(output.helm_values["customs"]).pools) == ["cpu", "gpu", "spot"] && yamldecode(output.helm_values["customs"]).pools.gpu.gpus == 1
    error_message = "the pools are the groups of nodes, but for the system's"
  }
}

run "a_hub_has_an_archive_and_a_role_for_each_country" {
  command = plan
  variables {
    releases = {
      country-kr = { bucket = "hub-kr" }
      country-gh = { bucket = "hub-gh", old_version_days = 90 }
    }
  }

  assert {
    condition     = keys(output.helm_values) == ["country-gh", "country-kr"]
    error_message = "values of both"
  }
}

run "two_releases_of_one_bucket_are_refused" {
  command = plan
  variables {
    releases = {
      country-kr = { bucket = "hub" }
      country-gh = { bucket = "hub" }
    }
  }
  expect_failures = [var.releases]
}

run "a_cluster_without_system_nodes_is_refused" {
  command = plan
  variables {
    node_groups = {
      cpu = { instance_types = ["m7i.2xlarge"], max_nodes = 2 }
    }
  }
  expect_failures = [var.node_groups]
}
