{{- /* Names, labels and the parts that scheduler and executors share. */ -}}

{{- define "tidewaiter.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- /* What selects the release's pods. Call with the root. */ -}}
{{- define "tidewaiter.selector" -}}
app.kubernetes.io/name: tidewaiter
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* Labels of every object. Call with the root. */ -}}
{{- define "tidewaiter.labels" -}}
{{ include "tidewaiter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* Where pods reach the scheduler. */ -}}
{{- define "tidewaiter.url" -}}
http://{{ include "tidewaiter.name" . }}-scheduler.{{ .Release.Namespace }}.svc:{{ .Values.scheduler.port }}
{{- end -}}

{{- /* The image of a pool, or (pool: empty) the image of all. Call with root, pool. */ -}}
{{- define "tidewaiter.image" -}}
{{- $own := (.pool).image | default dict -}}
{{- $image := .root.Values.image -}}
{{- $gpus := (.pool).gpus | default 0 | int -}}
{{- $repository := $own.repository | default $image.repository -}}
{{- if $own.digest -}}
{{ $repository }}@{{ $own.digest }}
{{- else if $own.tag -}}
{{ $repository }}:{{ $own.tag }}
{{- else if and $image.digest (eq $gpus 0) (not $own.repository) -}}
{{ $repository }}@{{ $image.digest }}
{{- else -}}
{{ $repository }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ if gt $gpus 0 }}-cuda{{ end }}
{{- end -}}
{{- end -}}

{{- /* Seven tenths of a container's memory, which is what --memory-mib may take of it. */ -}}
{{- define "tidewaiter.memory" -}}
{{ div (mul (int .) 7) 10 }}
{{- end -}}

{{- /* The port of the store: that of its endpoint. */ -}}
{{- define "tidewaiter.storePort" -}}
{{- $endpoint := .Values.archive.s3.endpoint -}}
{{- if $endpoint -}}
{{- $url := urlParse $endpoint -}}
{{- if regexMatch ":[0-9]+$" $url.host -}}
{{ regexFind "[0-9]+$" $url.host }}
{{- else -}}
{{ eq $url.scheme "http" | ternary 80 443 }}
{{- end -}}
{{- else -}}
443
{{- end -}}
{{- end -}}

{{- define "tidewaiter.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ .Values.podSecurity.runAsUser }}
runAsGroup: {{ .Values.podSecurity.runAsGroup }}
fsGroup: {{ .Values.podSecurity.fsGroup }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "tidewaiter.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* Environment by which a process opens the archive. Call with root, and part: what has log and extraEnv. */ -}}
{{- define "tidewaiter.env" -}}
{{- $archive := .root.Values.archive -}}
{{- with $archive.s3.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- with $archive.s3.endpoint }}
- name: AWS_ENDPOINT
  value: {{ . | quote }}
{{- if hasPrefix "http://" . }}
- name: AWS_ALLOW_HTTP
  value: "true"
{{- end }}
{{- end }}
{{- if $archive.s3.caConfigMap }}
- name: SSL_CERT_FILE
  value: /etc/tidewaiter/ca/ca.crt
{{- end }}
{{- with $archive.credentialsSecret }}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ $key }}
  valueFrom:
    secretKeyRef:
      name: {{ . | quote }}
      key: {{ $key }}
{{- end }}
{{- end }}
{{- with .part.log }}
- name: TIDEWAITER_LOG
  value: {{ . | quote }}
{{- end }}
# Spills of what is given no folder.
- name: TMPDIR
  value: /work
{{- range $name, $value := .part.extraEnv }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "tidewaiter.mounts" -}}
- name: work
  mountPath: /work
{{- if .Values.archive.claim }}
- name: archive
  mountPath: {{ trimPrefix "file://" .Values.archive.url | quote }}
{{- end }}
{{- if .Values.exports.claim }}
- name: exports
  mountPath: {{ .Values.exports.mountPath | quote }}
  readOnly: {{ .Values.exports.readOnly }}
{{- end }}
{{- if .Values.archive.s3.caConfigMap }}
- name: ca
  mountPath: /etc/tidewaiter/ca
  readOnly: true
{{- end }}
{{- end -}}

{{- /* Call with root, and part: what has diskGib and, if any, diskStorageClass. */ -}}
{{- define "tidewaiter.volumes" -}}
- name: work
{{- if .part.diskStorageClass }}
  ephemeral:
    volumeClaimTemplate:
      spec:
        accessModes: [ReadWriteOnce]
        storageClassName: {{ .part.diskStorageClass | quote }}
        resources:
          requests:
            storage: {{ .part.diskGib }}Gi
{{- else }}
  emptyDir:
    sizeLimit: {{ .part.diskGib }}Gi
{{- end }}
{{- with .root.Values.archive.claim }}
- name: archive
  persistentVolumeClaim:
    claimName: {{ . | quote }}
{{- end }}
{{- with .root.Values.exports.claim }}
- name: exports
  persistentVolumeClaim:
    claimName: {{ . | quote }}
    readOnly: {{ $.root.Values.exports.readOnly }}
{{- end }}
{{- with .root.Values.archive.s3.caConfigMap }}
- name: ca
  configMap:
    name: {{ . | quote }}
{{- end }}
{{- end -}}

{{- /* Requests and limits are the same, so that a pod is evicted last and counts the cores that it has. Call with the part. */ -}}
{{- define "tidewaiter.resources" -}}
{{- $gpus := .gpus | default 0 | int -}}
{{- $disk := not .diskStorageClass -}}
{{- range $kind := list "requests" "limits" }}
{{ $kind }}:
  cpu: {{ $.cpu | quote }}
  memory: {{ $.memoryMib }}Mi
  {{- if $disk }}
  ephemeral-storage: {{ $.diskGib }}Gi
  {{- end }}
  {{- if gt $gpus 0 }}
  nvidia.com/gpu: {{ $gpus | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* A pool with what it inherits, as YAML. Call with root, name. Not by mergeOverwrite, which takes 0, false and "" for
absent; image, spot and onDemand are inherited value by value, everything else as a whole. */ -}}
{{- define "tidewaiter.pool" -}}
{{- $pool := deepCopy .root.Values.executorDefaults -}}
{{- range $key, $value := index .root.Values.pools .name | default dict -}}
{{- if has $key (list "image" "spot" "onDemand") -}}
{{- range $part, $own := $value -}}
{{- $_ := set (index $pool $key) $part $own -}}
{{- end -}}
{{- else -}}
{{- $_ := set $pool $key $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $pool -}}
{{- end -}}
