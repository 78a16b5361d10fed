# The real provider, because it computes the policies; a plan of this module asks AWS nothing.
provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

variables {
  name              = "customs-kr"
  namespace         = "country-kr"
  oidc_provider_arn = "arn:aws:iam::111122223333:oidc-provider/oidc.example/id/ABC"
  oidc_issuer       = "oidc.example/id/ABC"
  bucket_arn        = "arn:aws:s3:::hub-kr"
  key_arn           = "arn:aws:kms:eu-west-1:111122223333:key/abc"
}

run "the_role_opens_one_archive_and_nothing_else" {
  command = plan

  assert {
    condition = toset(flatten([for statement in jsondecode(output.policy).Statement : statement.Action])) == toset([
      "s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "kms:Decrypt", "kms:GenerateDataKey",
    ])
    error_message = "no more than the program asks for"
  }

  assert {
    condition = toset(flatten([for statement in jsondecode(output.policy).Statement : statement.Resource])) == toset([
      "arn:aws:s3:::hub-kr", "arn:aws:s3:::hub-kr/archive/*", "arn:aws:kms:eu-west-1:111122223333:key/abc",
    ])
    error_message = "on one bucket and one key"
  }

  assert {
    condition     = alltrue([for statement in jsondecode(output.policy).Statement : statement.Effect == "Allow"])
    error_message = "grants only"
  }
}

run "only_the_two_accounts_of_the_namespace_may_take_it" {
  command = plan

  assert {
    condition = toset(jsondecode(output.trust).Statement[0].Condition.StringEquals["oidc.example/id/ABC:sub"]) == toset([
      "system:serviceaccount:country-kr:tidewaiter-scheduler", "system:serviceaccount:country-kr:tidewaiter-executor",
    ])
    error_message = "no other account, and no wildcard"
  }

  assert {
    condition     = jsondecode(output.trust).Statement[0].Condition.StringEquals["oidc.example/id/ABC:aud"] == "sts.amazonaws.com"
    error_message = "with a token for STS"
  }
}

run "a_wildcard_as_prefix_is_refused" {
  command = plan
  variables {
    prefix = "archive/*"
  }
  expect_failures = [var.prefix]
}

run "an_issuer_with_its_scheme_is_refused" {
  command = plan
  variables {
    oidc_issuer = "https://oidc.example/id/ABC"
  }
  expect_failures = [var.oidc_issuer]
}
