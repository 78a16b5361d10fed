# The role of one release: its two service accounts, in its namespace, may read and write one archive, and nothing else.

locals {
  accounts = [for part in ["scheduler", "executor"] : "system:serviceaccount:${var.namespace}:${var.release}-${part}"]
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${var.oidc_issuer}:sub"
      values   = local.accounts
    }

    condition {
      test     = "StringEquals"
      variable = "${var.oidc_issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "archive" {
  # Without a condition on the prefix: under one, S3 answers 403 instead of 404 for an object that is not there, and the
  # ledger could not tell a free name from a forbidden one. Archives that must not see each other's names have buckets of
  # their own.
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [var.bucket_arn]
  }

  statement {
    sid       = "Objects"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${var.bucket_arn}/${var.prefix}/*"]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.key_arn]
  }
}

resource "aws_iam_role" "this" {
  name               = var.name
  assume_role_policy = data.aws_iam_policy_document.trust.json
  # A step may take hours; credentials are renewed by the program.
  max_session_duration = 3600
  tags                 = var.tags
}

resource "aws_iam_role_policy" "archive" {
  name   = "archive"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.archive.json
}
