variable "name" {
  description = "Name of the cluster."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,40}$", var.name))
    error_message = "name is 2 to 41 small letters, digits and hyphens, a letter first."
  }
}

variable "kubernetes_version" {
  description = "Version of Kubernetes: the chart is for 1.33 and newer."
  type        = string
  default     = "1.33"

  validation {
    condition     = can(regex("^1\\.(3[3-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version is 1.33 or newer, such as \"1.33\"."
  }
}

variable "subnet_ids" {
  description = "Private subnets in at least two zones."
  type        = list(string)
}

variable "api_cidrs" {
  description = "Ranges from which the cluster's API is reached over the internet. None: from inside the network only."
  type        = list(string)
  default     = []

  validation {
    condition     = !contains(var.api_cidrs, "0.0.0.0/0")
    error_message = "api_cidrs names ranges of yours: 0.0.0.0/0 would be everybody."
  }
}

variable "log_days" {
  description = "Days for which the cluster's logs are kept."
  type        = number
  default     = 365
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}
