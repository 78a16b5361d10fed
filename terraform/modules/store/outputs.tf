output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.id
}

output "arn" {
  description = "The bucket, as policies name it."
  value       = aws_s3_bucket.this.arn
}

output "key_arn" {
  description = "Its key; null where the store is not AWS's."
  value       = one(aws_kms_key.this[*].arn)
}
