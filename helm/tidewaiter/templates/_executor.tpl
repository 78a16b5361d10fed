{{- /* The template of an executor's pod, by which Deployments and pools on demand make them alike. Call with root, name. */ -}}
{{- define "tidewaiter.executor" -}}
{{- $root := .root -}}
{{- $name := .name -}}
{{- $pool := include "tidewaiter.pool" . | fromYaml -}}
{{- $gpus := int $pool.gpus -}}
metadata:
  labels:
    {{- include "tidewaiter.labels" $root | nindent 4 }}
    app.kubernetes.io/component: executor
    tidewaiter/pool: {{ $name }}
  {{- with $pool.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "tidewaiter.name" $root }}-executor
  automountServiceAccountToken: false
  enableServiceLinks: false
  # The program is not process 1 then, which does not hear every signal to stop, and would be waited for in vain.
  shareProcessNamespace: true
  # An executor that is told to stop takes no new task and ends when those that it has are done.
  {{- if $pool.spot.enabled }}
  terminationGracePeriodSeconds: {{ sub (int $pool.spot.noticeSeconds) 10 }}
  {{- else }}
  terminationGracePeriodSeconds: {{ int $pool.terminationGraceSeconds }}
  {{- end }}
  securityContext:
    {{- include "tidewaiter.podSecurityContext" $root | nindent 4 }}
  {{- with $pool.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with $pool.runtimeClassName }}
  runtimeClassName: {{ . | quote }}
  {{- end }}
  {{- with $pool.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if or $pool.tolerations (gt $gpus 0) $pool.spot.enabled }}
  tolerations:
    {{- with $pool.tolerations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- if gt $gpus 0 }}
    - key: nvidia.com/gpu
      operator: Exists
      effect: NoSchedule
    {{- end }}
    {{- if $pool.spot.enabled }}
    - key: {{ $pool.spot.taint | quote }}
      operator: Exists
      effect: NoSchedule
    {{- end }}
  {{- end }}
  {{- with $pool.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  # Executors of a pool on different nodes, where there are such.
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "tidewaiter.selector" $root | nindent 10 }}
          tidewaiter/pool: {{ $name }}
  containers:
    - name: executor
      image: {{ include "tidewaiter.image" (dict "root" $root "pool" $pool) | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args:
        - executor
        - --scheduler={{ include "tidewaiter.url" $root }}
        - --name=$(POD_NAME)
        - --device={{ gt $gpus 0 | ternary "gpu" "cpu" }}
        {{- if gt $gpus 1 }}
        - --gpus={{ $gpus }}
        {{- end }}
        - --slots={{ int $pool.slots }}
        - --memory-mib={{ include "tidewaiter.memory" $pool.memoryMib }}
        - --host=$(POD_IP)
        - --port=50051
        - --work-folder=/work
        {{- if $root.Values.metrics.enabled }}
        - --metrics=0.0.0.0:{{ $root.Values.metrics.port }}
        {{- end }}
        {{- if gt (int $pool.onDemand.most) 0 }}
        - --leave-after={{ int $pool.onDemand.leaveSeconds }}
        {{- end }}
        # The network policies are the protection that this accepts.
        - --insecure
      env:
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: POD_IP
          valueFrom:
            fieldRef:
              fieldPath: status.podIP
        {{- include "tidewaiter.env" (dict "root" $root "part" $pool) | trim | nindent 8 }}
      ports:
        - name: flight
          containerPort: 50051
          protocol: TCP
        {{- if $root.Values.metrics.enabled }}
        - name: metrics
          containerPort: {{ $root.Values.metrics.port }}
          protocol: TCP
        {{- end }}
      # No liveness probe: an executor that stands still is seen by its scheduler, which gives its work to others, and
      # one that ends is started again.
      readinessProbe:
        tcpSocket:
          port: flight
        periodSeconds: 5
      resources:
        {{- include "tidewaiter.resources" $pool | trim | nindent 8 }}
      securityContext:
        {{- include "tidewaiter.securityContext" $root | nindent 8 }}
      volumeMounts:
        {{- include "tidewaiter.mounts" $root | nindent 8 }}
  volumes:
    {{- include "tidewaiter.volumes" (dict "root" $root "part" $pool) | nindent 4 }}
{{- end -}}

{{- /* The pools on demand as the scheduler reads them (--pods); empty where there are none. Call with the root. */ -}}
{{- define "tidewaiter.onDemand" -}}
{{- $pools := dict -}}
{{- range $name, $_ := .Values.pools -}}
{{- $pool := include "tidewaiter.pool" (dict "root" $ "name" $name) | fromYaml -}}
{{- if gt (int $pool.onDemand.most) 0 -}}
{{- $template := include "tidewaiter.executor" (dict "root" $ "name" $name) | fromYaml -}}
{{- $device := gt (int $pool.gpus) 0 | ternary "gpu" "cpu" -}}
{{- $_ := set $pools $name (dict "device" $device "slots" (int $pool.slots) "most" (int $pool.onDemand.most) "idleSeconds" (int $pool.onDemand.idleSeconds) "longestSeconds" (int $pool.onDemand.longestSeconds) "template" $template) -}}
{{- end -}}
{{- end -}}
{{- if $pools -}}
{{- $name := include "tidewaiter.name" . -}}
{{- dict "release" $name "namespace" .Release.Namespace "tenant" .Values.podsOnDemand.tenant "owner" (printf "%s-scheduler" $name) "most" (int .Values.podsOnDemand.most) "pools" $pools | toPrettyJson -}}
{{- end -}}
{{- end -}}
