{{- /* What no schema can say: values that must fit each other. Each message says what to change. */ -}}
{{- define "tidewaiter.restrictions" -}}
{{- $archive := .Values.archive -}}
{{- if not $archive.url -}}
{{- fail "archive.url is missing: say where the archive is, such as s3://BUCKET/archive" -}}
{{- end -}}
{{- $folder := hasPrefix "file://" $archive.url -}}
{{- if and $folder (not $archive.claim) -}}
{{- fail (printf "the archive %s needs archive.claim: the PersistentVolumeClaim that is mounted there in every pod" $archive.url) -}}
{{- end -}}
{{- if and $archive.claim (not $folder) -}}
{{- fail (printf "archive.claim is for file:// archives, and archive.url is %s: remove one of them" $archive.url) -}}
{{- end -}}
{{- if and $folder (or $archive.s3.endpoint $archive.s3.region $archive.s3.caConfigMap $archive.credentialsSecret) -}}
{{- fail "archive.s3 and archive.credentialsSecret are for s3:// archives: remove them, or name a bucket in archive.url" -}}
{{- end -}}
{{- if and $folder .Values.exports.claim (eq (trimSuffix "/" .Values.exports.mountPath) (trimSuffix "/" (trimPrefix "file://" $archive.url))) -}}
{{- fail "exports.mountPath is the archive's path: jobs would write into the archive; choose another" -}}
{{- end -}}
{{- if and $archive.credentialsSecret (hasKey .Values.serviceAccounts.annotations "eks.amazonaws.com/role-arn") -}}
{{- fail "archive.credentialsSecret and the role eks.amazonaws.com/role-arn are both given: keys would win over the role; remove one of them" -}}
{{- end -}}
{{- if and (not .Values.networkPolicy.enabled) (not .Values.networkPolicy.acceptOpenNetwork) -}}
{{- fail "networkPolicy.enabled is false: whoever reaches the scheduler's port runs jobs, and reads and changes the archive. Leave it on, or say networkPolicy.acceptOpenNetwork: true where you protect the network yourself" -}}
{{- end -}}
{{- range $name, $_ := .Values.pools -}}
{{- $pool := include "tidewaiter.pool" (dict "root" $ "name" $name) | fromYaml -}}
{{- $image := $pool.image -}}
{{- if and (gt (int $pool.gpus) 0) $.Values.image.digest (not $image.digest) -}}
{{- fail (printf "image.digest is given, and the pool %s has GPUs: its image is another one; name it by pools.%s.image.digest" $name $name) -}}
{{- end -}}
{{- if gt (int $pool.onDemand.most) 0 -}}
{{- if gt (int $pool.replicas) 0 -}}
{{- fail (printf "the pool %s is on demand and has replicas, too: set pools.%s.replicas to 0, and make another pool for executors that stand" $name $name) -}}
{{- end -}}
{{- if not (contains "@sha256:" (include "tidewaiter.image" (dict "root" $ "pool" $pool))) -}}
{{- fail (printf "the pool %s is on demand, and its image has no digest: name it by image.digest, or pools.%s.image.digest" $name $name) -}}
{{- end -}}
{{- end -}}
{{- if and $pool.spot.enabled (lt (int $pool.spot.noticeSeconds) 15) -}}
{{- fail (printf "pools.%s.spot.noticeSeconds is %v: an executor needs at least 15 seconds to leave" $name $pool.spot.noticeSeconds) -}}
{{- end -}}
{{- end -}}
{{- end -}}
