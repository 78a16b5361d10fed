variable "bucket" {
  description = "Name of the bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket is 3 to 63 small letters, digits and hyphens."
  }
}

variable "aws" {
  description = "Whether the store is AWS's. Other stores get versions and lifecycle only."
  type        = bool
  default     = true
}

variable "old_version_days" {
  description = "Days for which deleted and overwritten objects can be brought back."
  type        = number
  default     = 30

  validation {
    condition     = var.old_version_days >= 1
    error_message = "old_version_days is at least 1."
  }
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}
