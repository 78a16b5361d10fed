variable "endpoint" {
  description = "Address of the store."
  type        = string

  validation {
    condition     = can(regex("^https?://[^/ ]+$", var.endpoint))
    error_message = "endpoint is http(s)://HOST[:PORT], without a path."
  }
}

variable "region" {
  description = "Region, as the store calls it."
  type        = string
  default     = "us-east-1"
}

variable "releases" {
  description = "Releases of the chart by namespace. Each has an archive of its own."
  type = map(object({
    bucket           = string
    old_version_days = optional(number, 30)
  }))

  validation {
    condition     = length(distinct([for release in var.releases : release.bucket])) == length(var.releases)
    error_message = "releases have different buckets: an archive has one scheduler, and no release sees another's rows."
  }
}

variable "credentials_secret" {
  description = "Name of the Secret in each namespace that holds the keys of its bucket."
  type        = string
  default     = "archive-keys"
}
