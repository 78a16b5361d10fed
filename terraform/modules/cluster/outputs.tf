output "name" {
  description = "Name of the cluster."
  value       = aws_eks_cluster.this.name
}

output "node_role_arn" {
  description = "Role of the nodes. It may be used once its policies are attached."
  value       = aws_iam_role.node.arn
  depends_on  = [aws_iam_role_policy_attachment.node]
}

output "oidc_provider_arn" {
  description = "Identity provider of the pods."
  value       = aws_iam_openid_connect_provider.pods.arn
}

output "oidc_issuer" {
  description = "Its address without https://, as conditions of roles name it."
  value       = trimprefix(aws_eks_cluster.this.identity[0].oidc[0].issuer, "https://")
}
