mock_provider "aws" {
  override_during = plan

  mock_resource "aws_eks_node_group" {
    defaults = {
      resources = [{ autoscaling_groups = [{ name = "eks-mock" }] }]
    }
  }

  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0" }
  }
}

variables {
  cluster_name       = "customs"
  name               = "gpu"
  node_role_arn      = "arn:aws:iam::111122223333:role/node"
  subnet_ids         = ["subnet-1", "subnet-2"]
  kubernetes_version = "1.33"
  instance_types     = ["g6.2xlarge"]
  gpus               = 1
  max_nodes          = 2
}

run "a_gpu_group_starts_from_zero_and_says_what_it_would_have" {
  command = plan

  assert {
    condition     = aws_eks_node_group.this.scaling_config[0].min_size == 0 && aws_eks_node_group.this.scaling_config[0].max_size == 2
    error_message = "from none to two nodes"
  }

  assert {
    condition     = [for taint in aws_eks_node_group.this.taint : "${taint.key}:${taint.effect}"] == ["nvidia.com/gpu:NO_SCHEDULE"]
    error_message = "only work that asks for a GPU lands there"
  }

  assert {
    condition     = aws_eks_node_group.this.ami_type == "AL2023_x86_64_NVIDIA" && aws_eks_node_group.this.capacity_type == "ON_DEMAND"
    error_message = "nodes have the driver, and stay"
  }

  assert {
    condition = alltrue([for key, value in {
      "k8s.io/cluster-autoscaler/node-template/resources/nvidia.com/gpu"    = "1"
      "k8s.io/cluster-autoscaler/node-template/resources/ephemeral-storage" = "250Gi"
      "k8s.io/cluster-autoscaler/node-template/label/tidewaiter/pool"       = "gpu"
      "k8s.io/cluster-autoscaler/node-template/taint/nvidia.com/gpu"        = "present:NoSchedule"
      "k8s.io/cluster-autoscaler/customs"                                   = "owned"
    } : aws_autoscaling_group_tag.this[key].tag[0].value == value])
    error_message = "the autoscaler knows an empty group's GPU, disk, label and taint"
  }

  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_tokens == "required" && aws_launch_template.this.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "pods do not reach the metadata service"
  }

  assert {
    condition     = tobool(aws_launch_template.this.block_device_mappings[0].ebs[0].encrypted)
    error_message = "disks are encrypted"
  }
}

run "a_spot_group_is_tainted_and_has_no_gpu" {
  command = plan
  variables {
    name           = "spot"
    gpus           = 0
    spot           = true
    instance_types = ["m7i.2xlarge", "m6i.2xlarge"]
  }

  assert {
    condition     = [for taint in aws_eks_node_group.this.taint : taint.key] == ["tidewaiter/spot"] && aws_eks_node_group.this.capacity_type == "SPOT"
    error_message = "the taint is the one that the chart's spot pools tolerate"
  }

  assert {
    condition     = !contains(keys(output.scaling_tags), "k8s.io/cluster-autoscaler/node-template/resources/nvidia.com/gpu")
    error_message = "no GPU is promised"
  }
}

run "a_ceiling_below_the_floor_is_refused" {
  command = plan
  variables {
    min_nodes = 3
    max_nodes = 2
  }
  expect_failures = [var.max_nodes]
}

run "a_name_that_no_pool_can_have_is_refused" {
  command = plan
  variables {
    name = "GPU_nodes_of_the_centre"
  }
  expect_failures = [var.name]
}
