# A group of nodes, for one pool of the chart. It may start from zero: its labels and taints are then known to the cluster
# autoscaler from the group itself, and its GPUs and disk from tags of its scaling group.

locals {
  has_gpu = var.gpus > 0
  labels  = merge({ "tidewaiter/pool" = var.name }, var.labels)

  taints = merge(
    local.has_gpu ? { "nvidia.com/gpu" = { value = "present", effect = "NO_SCHEDULE" } } : {},
    var.spot ? { "tidewaiter/spot" = { value = "true", effect = "NO_SCHEDULE" } } : {},
  )

  # https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/cloudprovider/aws/README.md
  template = "k8s.io/cluster-autoscaler/node-template"
  scaling_tags = merge(
    { for key, value in local.labels : "${local.template}/label/${key}" => value },
    { for key, taint in local.taints : "${local.template}/taint/${key}" => "${taint.value}:NoSchedule" },
    { "${local.template}/resources/ephemeral-storage" = "${var.disk_gib}Gi" },
    local.has_gpu ? { "${local.template}/resources/nvidia.com/gpu" = tostring(var.gpus) } : {},
    {
      "k8s.io/cluster-autoscaler/enabled"             = "true"
      "k8s.io/cluster-autoscaler/${var.cluster_name}" = "owned"
    },
  )
}

# Encrypted disks, and a metadata service that asks for a token and that pods do not reach.
resource "aws_launch_template" "this" {
  name                   = "${var.cluster_name}-${var.name}"
  update_default_version = true

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size           = var.disk_gib
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  tag_specifications {
    resource_type = "instance"
    tags          = merge(var.tags, { Name = "${var.cluster_name}-${var.name}" })
  }

  tags = var.tags
}

resource "aws_eks_node_group" "this" {
  cluster_name    = var.cluster_name
  node_group_name = var.name
  node_role_arn   = var.node_role_arn
  subnet_ids      = var.subnet_ids
  version         = var.kubernetes_version
  ami_type        = local.has_gpu ? "AL2023_x86_64_NVIDIA" : "AL2023_x86_64_STANDARD"
  capacity_type   = var.spot ? "SPOT" : "ON_DEMAND"
  instance_types  = var.instance_types
  labels          = local.labels

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  scaling_config {
    min_size     = var.min_nodes
    max_size     = var.max_nodes
    desired_size = var.min_nodes
  }

  update_config {
    max_unavailable = 1
  }

  dynamic "taint" {
    for_each = local.taints
    content {
      key    = taint.key
      value  = taint.value.value
      effect = taint.value.effect
    }
  }

  tags = var.tags

  lifecycle {
    # The autoscaler moves it.
    ignore_changes = [scaling_config[0].desired_size]
  }
}

resource "aws_autoscaling_group_tag" "this" {
  for_each               = local.scaling_tags
  autoscaling_group_name = aws_eks_node_group.this.resources[0].autoscaling_groups[0].name

  tag {
    key                 = each.key
    value               = each.value
    propagate_at_launch = false
  }
}
