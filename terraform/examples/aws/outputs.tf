output "cluster" {
  description = "Name of the cluster, for `aws eks update-kubeconfig --name`."
  value       = module.cluster.name
}

output "helm_values" {
  description = "Values of each release, by namespace: `terraform output -json helm_values | jq -r .customs`."
  value = {
    for namespace, _ in var.releases : namespace => yamlencode({
      archive = {
        url = "s3://${module.stores[namespace].bucket}/archive"
        s3  = { region = var.region }
      }
      serviceAccounts = {
        annotations = { "eks.amazonaws.com/role-arn" = module.roles[namespace].role_arn }
      }
      scheduler = { nodeSelector = { "tidewaiter/pool" = "system" } }
      pools = {
        for name, group in var.node_groups : name => {
          nodeSelector = { "tidewaiter/pool" = name }
          gpus         = group.gpus
          spot         = { enabled = group.spot }
        } if name != "system"
      }
    })
  }
}
