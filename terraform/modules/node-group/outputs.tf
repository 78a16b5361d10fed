output "name" {
  description = "Name of the group, and the value of its nodes' label tidewaiter/pool."
  value       = aws_eks_node_group.this.node_group_name
}

output "scaling_tags" {
  description = "Tags by which the autoscaler knows an empty group."
  value       = local.scaling_tags
}
