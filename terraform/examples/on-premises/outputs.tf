output "helm_values" {
  description = "Values of each release, by namespace."
  value = {
    for namespace, _ in var.releases : namespace => yamlencode({
      archive = {
        url               = "s3://${module.stores[namespace].bucket}/archive"
        s3                = { region = var.region, endpoint = var.endpoint }
        credentialsSecret = var.credentials_secret
      }
    })
  }
}
