output "role_arn" {
  description = "The role, for the annotation eks.amazonaws.com/role-arn."
  value       = aws_iam_role.this.arn
}

output "policy" {
  description = "What it may do, as JSON."
  value       = data.aws_iam_policy_document.archive.json
}

output "trust" {
  description = "Who may take it, as JSON."
  value       = data.aws_iam_policy_document.trust.json
}
