variable "name" {
  description = "Name of the network, and the beginning of its parts' names."
  type        = string
}

variable "region" {
  description = "Region, for the address of its S3."
  type        = string
}

variable "cidr" {
  description = "Range of the network's addresses; each subnet has a sixteenth of it."
  type        = string
  default     = "10.40.0.0/16"

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(tonumber(split("/", var.cidr)[1]) <= 20, false)
    error_message = "cidr is a range such as 10.40.0.0/16, of at least 4096 addresses (/20): every pod has one."
  }
}

variable "zones" {
  description = "Availability zones, two to eight."
  type        = list(string)

  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 8 && length(distinct(var.zones)) == length(var.zones)
    error_message = "zones are two to eight different ones: EKS needs two."
  }
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}
