variable "cluster_name" {
  description = "The cluster."
  type        = string
}

variable "name" {
  description = "Name of the group, and of the chart's pool: nodes have the label tidewaiter/pool with it."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$", var.name))
    error_message = "name is at most 15 small letters, digits and hyphens, as the chart has it of pools."
  }
}

variable "node_role_arn" {
  description = "Role of the nodes."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the nodes. For GPUs name the zones that have them."
  type        = list(string)
}

variable "kubernetes_version" {
  description = "Version of Kubernetes of the nodes."
  type        = string
}

variable "instance_types" {
  description = "Types of machine, the first wanted first. Of one size: the autoscaler takes all for the same."
  type        = list(string)

  validation {
    condition     = length(var.instance_types) > 0
    error_message = "instance_types names at least one type."
  }
}

variable "gpus" {
  description = "GPUs of such a machine; 0: none. Nodes with GPUs are tainted, so that only work that asks for one lands there."
  type        = number
  default     = 0
}

variable "spot" {
  description = "Whether the provider may take the nodes away. They are tainted, and the pool says spot.enabled."
  type        = bool
  default     = false
}

variable "min_nodes" {
  description = "Fewest nodes."
  type        = number
  default     = 0

  validation {
    condition     = var.min_nodes >= 0
    error_message = "min_nodes is 0 or more."
  }
}

variable "max_nodes" {
  description = "Most nodes: the ceiling of cost."
  type        = number

  validation {
    condition     = var.max_nodes >= 1 && var.max_nodes >= var.min_nodes
    error_message = "max_nodes is at least 1 and not below min_nodes."
  }
}

variable "disk_gib" {
  description = "Disk of a node in GiB: diskGib of each executor on it, images, and logs."
  type        = number
  default     = 250

  validation {
    condition     = var.disk_gib >= 30
    error_message = "disk_gib is at least 30: a node needs as much for itself."
  }
}

variable "labels" {
  description = "Further labels of the nodes."
  type        = map(string)
  default     = {}
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}
