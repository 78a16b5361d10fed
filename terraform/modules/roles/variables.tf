variable "name" {
  description = "Name of the role."
  type        = string
}

variable "namespace" {
  description = "Namespace of the release."
  type        = string
}

variable "release" {
  description = "What the chart's objects begin with: the release's name, where it contains tidewaiter, else NAME-tidewaiter."
  type        = string
  default     = "tidewaiter"

  validation {
    condition     = strcontains(var.release, "tidewaiter")
    error_message = "release contains tidewaiter, as the names of the chart's service accounts do."
  }
}

variable "oidc_provider_arn" {
  description = "Identity provider of the cluster's pods."
  type        = string
}

variable "oidc_issuer" {
  description = "Its address without https://."
  type        = string

  validation {
    condition     = !startswith(var.oidc_issuer, "https://")
    error_message = "oidc_issuer is written without https://: conditions of roles name it so."
  }
}

variable "bucket_arn" {
  description = "The archive's bucket."
  type        = string
}

variable "prefix" {
  description = "The archive's prefix in it."
  type        = string
  default     = "archive"

  validation {
    condition     = can(regex("^[^/*?]([^*?]*[^/*?])?$", var.prefix))
    error_message = "prefix has no slash at its ends and no wildcard."
  }
}

variable "key_arn" {
  description = "Key of the bucket."
  type        = string
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}
