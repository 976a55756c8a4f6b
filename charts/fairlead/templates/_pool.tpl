{{/* A replica's settings, as fairlead_server.app.builder reads them. dict "root" $ "name" POOL "pool" VALUES */}}
{{- define "fairlead.replica" -}}
pool: {{ .name }}
host: 0.0.0.0
state_dir: /var/lib/fairlead
catalog_file: /etc/fairlead/catalog/catalog.json.gz
control_token_file: /etc/fairlead/control/token
workers: {{ .pool.workers | int64 }}
cores: {{ .pool.cores | int64 }}
gpus: {{ .pool.gpu.count }}
memory_limit_bytes: {{ include "fairlead.bytes" .pool.memoryLimit }}
{{- with .pool.gpu.memory }}
gpu_memory_bytes: {{ include "fairlead.bytes" . }}
{{- end }}
cache_bytes: {{ include "fairlead.bytes" .pool.cache.size }}
volume_bytes: {{ include "fairlead.bytes" .pool.cache.volumeSize }}
log_level: {{ .pool.logLevel }}
drain:
  balancer_s: {{ .pool.drain.balancerSeconds }}
  grace_s: {{ .pool.drain.graceSeconds }}
  idle_s: {{ .pool.drain.idleSeconds }}
{{- with .pool.limits }}
limits:
  {{- range $key, $field := dict "bodyBytes" "body_bytes" "headerBytes" "header_bytes" "readSeconds" "read_s" "idleSeconds" "idle_s" "ageSeconds" "age_s" "unsentBytes" "unsent_bytes" "writeSeconds" "write_s" "concurrent" "concurrent" }}
  {{- if hasKey $.pool.limits $key }}
  {{ $field }}: {{ get $.pool.limits $key | int64 }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* What the builder is told. A change of it restarts replicas; num_replicas is not among it for that reason. */}}
{{- define "fairlead.arguments" -}}
{{ include "fairlead.replica" . }}
{{- with .pool.autoscaling }}
{{- if .enabled }}
autoscaling:
  least: {{ .least | int64 }}
  most: {{ .most | int64 }}
  {{- with .first }}
  first: {{ . | int64 }}
  {{- end }}
  targets:
    busy: {{ .targets.busy }}
    queue: {{ .targets.queue }}
    refused: {{ .targets.refused }}
    ahead_s: {{ .targets.aheadSeconds }}
    trend_s: {{ .targets.trendSeconds }}
    down_s: {{ .targets.downSeconds }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The pool as Ray Serve is told it. Serve's proxies are off: replicas serve the pool's ports. */}}
{{- define "fairlead.serveconfig" -}}
proxy_location: Disabled
applications:
  - name: fairlead-{{ .name }}
    route_prefix: null
    import_path: fairlead_server.app.builder:pool
    args:
      {{- include "fairlead.arguments" . | nindent 6 }}
    deployments:
      - name: Pool
        {{- if not .pool.autoscaling.enabled }}
        num_replicas: {{ .pool.replicas | int64 }}
        {{- end }}
        max_replicas_per_node: 1
{{- end -}}

{{/* Seconds that a pod's drain may take. */}}
{{- define "fairlead.drainseconds" -}}
{{- addf .drain.balancerSeconds .drain.graceSeconds .drain.idleSeconds | ceil | int64 -}}
{{- end -}}

{{- define "fairlead.liveness" -}}
httpGet: {path: /api/healthz, port: 52365}
{{ toYaml .probes.liveness }}
{{- end -}}

{{- define "fairlead.raymounts" -}}
- {name: shared-memory, mountPath: /dev/shm}
{{- end -}}

{{- define "fairlead.rayenv" -}}
- {name: HOME, value: /home/fairlead}
- {name: RAY_TMPDIR, value: /tmp}
- {name: RAY_USAGE_STATS_ENABLED, value: "0"}
{{- /* Ray would run a replica below everything else on the node. */}}
- {name: RAY_worker_niceness, value: "0"}
{{- end -}}

{{- define "fairlead.head" -}}
{{- $parts := dict "root" .root "component" "head" -}}
metadata:
  labels:
    {{- /* Not app.kubernetes.io/name: the Service that KubeRay makes for the head selects its own. */}}
    {{- omit (include "fairlead.labels" $parts | fromYaml) "app.kubernetes.io/name" "app.kubernetes.io/version" "helm.sh/chart" | toYaml | nindent 4 }}
    fairlead.dev/pool: {{ .name }}
    {{- with .pool.head.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .pool.head.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- /* KubeRay makes the account, for Ray's autoscaler, and removes it after its Ray cluster. */}}
  automountServiceAccountToken: true
  {{- include "fairlead.pullsecrets" .root | nindent 2 }}
  securityContext: {{- include "fairlead.podsecurity" .root | nindent 4 }}
  {{- include "fairlead.placement" (dict "spec" .pool.head) | nindent 2 }}
  containers:
    - name: ray-head
      image: {{ include "fairlead.image" (dict "root" .root "image" .pool.image) }}
      imagePullPolicy: {{ .pullPolicy }}
      env:
        {{- include "fairlead.rayenv" . | nindent 8 }}
      ports:
        - {name: gcs-server, containerPort: 6379}
        - {name: dashboard, containerPort: 8265}
        - {name: client, containerPort: 10001}
        {{- /* Nothing listens: KubeRay makes its Services only for heads with a port of this name. */}}
        - {name: serve, containerPort: 8000}
      livenessProbe: {{- include "fairlead.liveness" .pool | nindent 8 }}
      readinessProbe:
        httpGet: {path: /api/healthz, port: 52365}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 10
      resources: {{- toYaml .pool.head.resources | nindent 8 }}
      securityContext: {{- include "fairlead.containersecurity" .root | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: home, mountPath: /home/fairlead}
        {{- include "fairlead.raymounts" . | nindent 8 }}
  volumes:
    - {name: tmp, emptyDir: {}}
    - {name: home, emptyDir: {}}
    - {name: shared-memory, emptyDir: {medium: Memory, sizeLimit: {{ .pool.sharedMemory }}}}
{{- end -}}

{{- define "fairlead.worker" -}}
{{- $parts := dict "root" .root "component" "pool" -}}
{{- $seconds := include "fairlead.drainseconds" .pool | int64 -}}
{{- $gpus := ceil .pool.gpu.count | int64 -}}
metadata:
  labels:
    {{- /* Without the chart's version: an upgrade that changes nothing else would make all pods anew. */}}
    {{- omit (include "fairlead.labels" $parts | fromYaml) "app.kubernetes.io/version" "helm.sh/chart" | toYaml | nindent 4 }}
    fairlead.dev/pool: {{ .name }}
    fairlead.dev/serving: "true"
    {{- with .pool.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- /* Settings are part of the pod, so that changing them goes the way of upgrade.strategy. */}}
    fairlead.dev/settings: {{ include "fairlead.arguments" . | sha256sum | trunc 16 | quote }}
    {{- with .pool.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "fairlead.serviceaccount" (dict "account" .pool.serviceAccount "default" .full) }}
  automountServiceAccountToken: false
  {{- include "fairlead.pullsecrets" .root | nindent 2 }}
  securityContext: {{- include "fairlead.podsecurity" .root | nindent 4 }}
  terminationGracePeriodSeconds: {{ add $seconds 30 }}
  {{- with .pool.gpu.runtimeClassName }}
  {{- if $gpus }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- end }}
  {{- include "fairlead.placement" (dict "spec" .pool) | nindent 2 }}
  {{- include "fairlead.spread" (dict "constraints" .pool.topologySpreadConstraints "selector" (include "fairlead.serving" .)) | nindent 2 }}
  containers:
    - name: ray-worker
      image: {{ include "fairlead.image" (dict "root" .root "image" .pool.image) }}
      imagePullPolicy: {{ .pullPolicy }}
      env:
        {{- include "fairlead.rayenv" . | nindent 8 }}
        {{- include "fairlead.env" .root | nindent 8 }}
        {{- with .pool.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .pool.extraEnvFrom }}
      envFrom: {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: http, containerPort: 8000}
        - {name: grpc, containerPort: 8001}
        - {name: metrics, containerPort: 8002}
        - {name: control, containerPort: 8003}
      lifecycle:
        preStop:
          exec:
            command: [python, -m, fairlead_server, drain, --token-file, /etc/fairlead/control/token, --limit, {{ add $seconds 15 | quote }}]
      livenessProbe: {{- include "fairlead.liveness" .pool | nindent 8 }}
      readinessProbe:
        httpGet: {path: /readyz, port: metrics}
        {{- toYaml .pool.probes.readiness | nindent 8 }}
      resources: {{- include "fairlead.poolresources" .pool | nindent 8 }}
      securityContext: {{- include "fairlead.containersecurity" .root | nindent 8 }}
      volumeMounts:
        {{- include "fairlead.mounts" .root | nindent 8 }}
        {{- include "fairlead.raymounts" . | nindent 8 }}
        - {name: state, mountPath: /var/lib/fairlead}
        - {name: catalog, mountPath: /etc/fairlead/catalog, readOnly: true}
        - {name: control, mountPath: /etc/fairlead/control, readOnly: true}
        {{- with .pool.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "fairlead.volumes" .root | nindent 4 }}
    - {name: shared-memory, emptyDir: {medium: Memory, sizeLimit: {{ .pool.sharedMemory }}}}
    - name: catalog
      configMap: {name: {{ .full }}-catalog, optional: true}
    - name: control
      secret: {secretName: {{ include "fairlead.controlsecret" .root }}}
    - name: state
      {{- if .pool.cache.persistent.enabled }}
      ephemeral:
        volumeClaimTemplate:
          spec:
            accessModes: {{ toJson .pool.cache.persistent.accessModes }}
            {{- with .pool.cache.persistent.storageClassName }}
            storageClassName: {{ . }}
            {{- end }}
            resources: {requests: {storage: {{ .pool.cache.volumeSize }}}}
      {{- else }}
      emptyDir: {sizeLimit: {{ .pool.cache.volumeSize }}}
      {{- end }}
    {{- with .pool.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- define "fairlead.poolresources" -}}
{{- $resources := deepCopy .resources -}}
{{- if .gpu.count -}}
{{- $limits := $resources.limits | default dict -}}
{{- $_ := set $limits .gpu.resource (ceil .gpu.count | int64) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{ toYaml $resources }}
{{- end -}}
