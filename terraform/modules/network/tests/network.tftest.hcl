mock_provider "aws" {
  override_during = plan
}

variables {
  name   = "customs"
  region = "eu-west-1"
  zones  = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
}

run "a_pair_of_subnets_in_each_zone" {
  command = plan

  assert {
    condition     = [for subnet in aws_subnet.private : subnet.cidr_block] == ["10.40.128.0/20", "10.40.144.0/20", "10.40.160.0/20"]
    error_message = "private subnets are the ninth sixteenth of the range and those after it"
  }

  assert {
    condition     = length(setintersection(aws_subnet.private[*].cidr_block, aws_subnet.public[*].cidr_block)) == 0
    error_message = "public and private subnets do not overlap"
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.private : subnet.map_public_ip_on_launch != true])
    error_message = "nodes have no public address"
  }

  assert {
    condition     = aws_vpc_endpoint.s3.service_name == "com.amazonaws.eu-west-1.s3" && aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway"
    error_message = "the archive's traffic stays inside"
  }
}

run "one_zone_is_refused" {
  command = plan
  variables {
    zones = ["eu-west-1a"]
  }
  expect_failures = [var.zones]
}

run "a_small_range_is_refused" {
  command = plan
  variables {
    cidr = "10.40.0.0/24"
  }
  expect_failures = [var.cidr]
}
