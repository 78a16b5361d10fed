mock_provider "aws" {
  override_during = plan

  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::customs-archive" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:111122223333:key/abc" }
  }

  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  bucket = "customs-archive"
}

run "deleted_objects_can_be_brought_back_and_current_ones_never_expire" {
  command = plan

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "versions are kept"
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this.rule[0].noncurrent_version_expiration[0].noncurrent_days == 30
    error_message = "for 30 days"
  }

  assert {
    condition = (
      [for rule in aws_s3_bucket_lifecycle_configuration.this.rule : length(rule.expiration)] == [1, 0]
      && aws_s3_bucket_lifecycle_configuration.this.rule[0].expiration[0].expired_object_delete_marker
    )
    error_message = "no rule deletes what is current"
  }

  assert {
    condition     = !aws_s3_bucket.this.force_destroy
    error_message = "a bucket with objects is not destroyed"
  }
}

run "on_aws_it_is_encrypted_and_closed" {
  command = plan

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this[0].rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
    error_message = "by a key of its own"
  }

  assert {
    condition     = aws_kms_key.this[0].enable_key_rotation
    error_message = "which is rotated"
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this[0].block_public_acls, aws_s3_bucket_public_access_block.this[0].block_public_policy,
      aws_s3_bucket_public_access_block.this[0].ignore_public_acls, aws_s3_bucket_public_access_block.this[0].restrict_public_buckets,
    ])
    error_message = "to the public"
  }
}

run "elsewhere_it_has_versions_and_lifecycle_only" {
  command = plan
  variables {
    aws = false
  }

  assert {
    condition     = length(aws_kms_key.this) + length(aws_s3_bucket_policy.tls) + length(aws_s3_bucket_public_access_block.this) + length(aws_s3_bucket_server_side_encryption_configuration.this) == 0
    error_message = "nothing that other stores lack"
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled" && output.key_arn == null
    error_message = "versions are kept"
  }
}

run "a_name_with_dots_is_refused" {
  command = plan
  variables {
    bucket = "customs.archive"
  }
  expect_failures = [var.bucket]
}
