output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "Subnets of the nodes, in the order of the zones."
  value       = aws_subnet.private[*].id
}
