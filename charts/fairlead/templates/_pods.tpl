{{/* What operator, pools and test have in common in their pods: the restricted standard, environment, volumes. */}}

{{- define "fairlead.podsecurity" -}}
runAsNonRoot: true
{{- range $key := list "runAsUser" "runAsGroup" "fsGroup" }}
{{- /* Helm leaves out a key that is null; 0 is a group. */}}
{{- if not (kindIs "invalid" (index $.Values.security $key)) }}
{{ $key }}: {{ index $.Values.security $key | int64 }}
{{- end }}
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "fairlead.containersecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "fairlead.pullsecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The registry's credentials, the CA, the proxy. */}}
{{- define "fairlead.env" -}}
{{- $secret := .Values.mlflow.secret -}}
{{- if $secret.name }}
{{- if $secret.uriKey }}
- name: MLFLOW_TRACKING_URI
  valueFrom: {secretKeyRef: {name: {{ $secret.name }}, key: {{ $secret.uriKey }}}}
{{- else }}
{{- /* Whose credentials they are. */}}
- {name: MLFLOW_TRACKING_URI, value: {{ .Values.mlflow.uri | quote }}}
{{- end }}
{{- range $variable, $key := dict "MLFLOW_TRACKING_USERNAME" $secret.usernameKey "MLFLOW_TRACKING_PASSWORD" $secret.passwordKey "MLFLOW_TRACKING_TOKEN" $secret.tokenKey }}
{{- if $key }}
- name: {{ $variable }}
  valueFrom: {secretKeyRef: {name: {{ $secret.name }}, key: {{ $key }}, optional: true}}
{{- end }}
{{- end }}
{{- end }}
{{- if or .Values.ca.configMap .Values.ca.secret }}
{{- range $variable := list "SSL_CERT_FILE" "REQUESTS_CA_BUNDLE" "CURL_CA_BUNDLE" "AWS_CA_BUNDLE" "MLFLOW_TRACKING_SERVER_CERT_PATH" }}
- {name: {{ $variable }}, value: /etc/fairlead/ca/ca.crt}
{{- end }}
{{- end }}
{{- with .Values.proxy }}
{{- if or .httpProxy .httpsProxy }}
{{- $none := printf "localhost,127.0.0.1,.svc,.%s,$(KUBERNETES_SERVICE_HOST)" $.Values.clusterDomain }}
{{- /* A name without a dot is a Service of this namespace. */}}
{{- $registry := (urlParse $.Values.mlflow.uri).host | default "" | regexFind "^[^:.]+(:|$)" | trimSuffix ":" }}
{{- if $registry }}{{ $none = printf "%s,%s" $none $registry }}{{ end }}
{{- range $variable, $value := dict "HTTP_PROXY" .httpProxy "HTTPS_PROXY" .httpsProxy "NO_PROXY" (ternary (printf "%s,%s" $none .noProxy) $none (ne .noProxy "")) }}
{{- if $value }}
- {name: {{ $variable }}, value: {{ $value | quote }}}
- {name: {{ lower $variable }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "fairlead.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: home, mountPath: /home/fairlead}
{{- if or .Values.ca.configMap .Values.ca.secret }}
- {name: ca, mountPath: /etc/fairlead/ca, readOnly: true}
{{- end }}
{{- end -}}

{{/* The root file system is read-only: what is written goes to these. */}}
{{- define "fairlead.volumes" -}}
- {name: tmp, emptyDir: {}}
- {name: home, emptyDir: {}}
{{- with .Values.ca }}
{{- if .configMap }}
- name: ca
  configMap: {name: {{ .configMap }}, items: [{key: {{ .key }}, path: ca.crt}]}
{{- else if .secret }}
- name: ca
  secret: {secretName: {{ .secret }}, items: [{key: {{ .key }}, path: ca.crt}]}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where pods go. dict "spec" VALUES */}}
{{- define "fairlead.placement" -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
{{- with get $.spec $key }}
{{ $key }}: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* dict "constraints" LIST "selector" YAML */}}
{{- define "fairlead.spread" -}}
{{- with .constraints }}
topologySpreadConstraints:
{{- range . }}
  - {{ toYaml . | nindent 4 | trim }}
    {{- if not .labelSelector }}
    labelSelector:
      matchLabels: {{- $.selector | nindent 8 }}
    {{- end }}
{{- end }}
{{- end }}
{{- end -}}
