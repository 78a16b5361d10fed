# The network of a cluster: public subnets for the way out, private ones for the nodes, one pair a zone, and a gateway to S3
# so that the archive's traffic does not leave the network.

locals {
  count = length(var.zones)
  # Sixteenths of the range: the first ones are public, those from the ninth on private.
  public  = [for index in range(local.count) : cidrsubnet(var.cidr, 4, index)]
  private = [for index in range(local.count) : cidrsubnet(var.cidr, 4, index + 8)]
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = merge(var.tags, { Name = var.name })
}

# Takes every rule from the group that a network is given, so that nothing uses it by accident.
resource "aws_default_security_group" "none" {
  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = "${var.name}-unused" })
}

resource "aws_subnet" "public" {
  count             = local.count
  vpc_id            = aws_vpc.this.id
  cidr_block        = local.public[count.index]
  availability_zone = var.zones[count.index]
  tags              = merge(var.tags, { Name = "${var.name}-public-${var.zones[count.index]}" })
}

resource "aws_subnet" "private" {
  count             = local.count
  vpc_id            = aws_vpc.this.id
  cidr_block        = local.private[count.index]
  availability_zone = var.zones[count.index]
  tags              = merge(var.tags, { Name = "${var.name}-private-${var.zones[count.index]}" })
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = var.name })
}

# One way out for all zones: it carries images and the providers' APIs only. Its zone's failure stops what needs these.
resource "aws_eip" "out" {
  domain = "vpc"
  tags   = merge(var.tags, { Name = "${var.name}-out" })
}

resource "aws_nat_gateway" "this" {
  allocation_id = aws_eip.out.id
  subnet_id     = aws_subnet.public[0].id
  tags          = merge(var.tags, { Name = var.name })
  depends_on    = [aws_internet_gateway.this]
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = "${var.name}-public" })
}

resource "aws_route" "public_out" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_route_table_association" "public" {
  count          = local.count
  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = "${var.name}-private" })
}

resource "aws_route" "private_out" {
  route_table_id         = aws_route_table.private.id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this.id
}

resource "aws_route_table_association" "private" {
  count          = local.count
  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private.id
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private.id]
  tags              = merge(var.tags, { Name = "${var.name}-s3" })
}
