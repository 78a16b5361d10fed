mock_provider "aws" {
  override_during = plan

  mock_resource "aws_s3_bucket" {
    defaults = { id = "hub-kr" }
  }
}

variables {
  endpoint = "https://store.hub.example:9000"
  releases = {
    country-kr = { bucket = "hub-kr" }
  }
}

run "the_values_of_a_release_name_store_and_secret" {
  command = plan

  assert {
    condition = yamldecode(output.helm_values["country-kr"]).archive == {
      url               = "s3://hub-kr/archive"
      s3                = { region = "us-east-1", endpoint = "https://store.hub.example:9000" }
      credentialsSecret = "archive-keys"
    }
    error_message = "archive, store and the Secret of its keys"
  }
}

run "an_endpoint_without_a_scheme_is_refused" {
  command = plan
  variables {
    endpoint = "store.hub.example:9000"
  }
  expect_failures = [var.endpoint]
}
