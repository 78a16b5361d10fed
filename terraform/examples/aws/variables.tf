variable "name" {
  description = "Name of the cluster."
  type        = string
  default     = "customs"
}

variable "region" {
  description = "Region."
  type        = string
  default     = "eu-west-1"
}

variable "zones" {
  description = "Its zones."
  type        = list(string)
  default     = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
}

variable "cidr" {
  description = "Range of the network's addresses."
  type        = string
  default     = "10.40.0.0/16"
}

variable "kubernetes_version" {
  description = "Version of Kubernetes."
  type        = string
  default     = "1.33"
}

variable "api_cidrs" {
  description = "Ranges from which the cluster's API is reached over the internet."
  type        = list(string)
  default     = []
}

variable "node_groups" {
  description = "Groups of nodes by the name of the chart's pool. `system` is for the scheduler and the cluster's own pods."
  type = map(object({
    instance_types = list(string)
    max_nodes      = number
    min_nodes      = optional(number, 0)
    gpus           = optional(number, 0)
    spot           = optional(bool, false)
    disk_gib       = optional(number, 250)
  }))
  default = {
    system = { instance_types = ["m7i.large"], min_nodes = 2, max_nodes = 3, disk_gib = 100 }
    cpu    = { instance_types = ["m7i.2xlarge"], max_nodes = 8 }
    spot   = { instance_types = ["m7i.2xlarge", "m6i.2xlarge", "m7a.2xlarge"], spot = true, max_nodes = 12 }
    gpu    = { instance_types = ["g6.2xlarge"], gpus = 1, max_nodes = 2 }
  }

  validation {
    condition     = try(var.node_groups.system.min_nodes >= 1 && !var.node_groups.system.spot && var.node_groups.system.gpus == 0, false)
    error_message = "node_groups has system, with at least one node, neither spot nor GPU: the scheduler runs there."
  }
}

variable "releases" {
  description = "Releases of the chart by namespace. Each has an archive that no other can open."
  type = map(object({
    bucket           = string
    old_version_days = optional(number, 30)
  }))
  default = {
    customs = { bucket = "customs-example-archive" }
  }

  validation {
    condition     = length(distinct([for release in var.releases : release.bucket])) == length(var.releases)
    error_message = "releases have different buckets: an archive has one scheduler, and no release sees another's rows."
  }
}

variable "stand_in" {
  description = "For tests: address of a local stand-in for AWS. Leave it null."
  type        = string
  default     = null
}
