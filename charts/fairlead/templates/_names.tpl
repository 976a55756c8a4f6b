{{/* The first part of all names: short, since KubeRay takes 47 characters and pools' names come behind it. */}}
{{- define "fairlead.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "fairlead.operator" -}}
{{ include "fairlead.fullname" . }}-operator
{{- end -}}

{{/* dict "root" $ "name" POOL */}}
{{- define "fairlead.poolname" -}}
{{- $name := printf "%s-%s" (include "fairlead.fullname" .root) .name -}}
{{- if or (gt (len $name) 47) (not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name)) -}}
{{- fail (printf "the pool's RayService would be called %q: KubeRay takes at most 47 of a-z, 0-9 and -, from a letter on. Shorten the pool's name, or set fullnameOverride" $name) -}}
{{- end -}}
{{- if regexMatch "^operator$|-(head|metrics|control|catalog)$" .name -}}
{{- fail (printf "a pool cannot be called %q: objects of the operator or of another pool may be called so" .name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* What selects. dict "root" $ "component" NAME */}}
{{- define "fairlead.selector" -}}
app.kubernetes.io/name: fairlead
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* dict "root" $ "component" NAME */}}
{{- define "fairlead.labels" -}}
{{ include "fairlead.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
fairlead.dev/installation: {{ .root.Values.installation | quote }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* All pods of a pool, the head too. dict "root" $ "name" POOL */}}
{{- define "fairlead.poolpods" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
fairlead.dev/pool: {{ .name }}
{{- end -}}

{{/* The pods that serve, of both Ray clusters of an upgrade. dict "root" $ "name" POOL */}}
{{- define "fairlead.serving" -}}
{{ include "fairlead.poolpods" . }}
fairlead.dev/serving: "true"
{{- end -}}

{{- define "fairlead.serviceaccount" -}}
{{- .account.name | default .default -}}
{{- end -}}

{{- define "fairlead.controlsecret" -}}
{{- .Values.control.existingSecret | default (printf "%s-control" (include "fairlead.fullname" .)) -}}
{{- end -}}

{{/* dict "root" $ "image" OVERRIDES. Another tag or repository is another image: the digest is not its. */}}
{{- define "fairlead.image" -}}
{{- $image := deepCopy .root.Values.image -}}
{{- if or .image.tag .image.repository }}{{ $_ := set $image "digest" "" }}{{ end -}}
{{- include "fairlead.overlay" (dict "onto" $image "from" .image) -}}
{{- $name := ternary (printf "%s/%s" $image.registry $image.repository) $image.repository (ne $image.registry "") -}}
{{- if $image.digest -}}
{{ $name }}@{{ $image.digest }}
{{- else -}}
{{ $name }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* Lays the map `from` over the map `onto`, which is changed: false and 0 count, unlike in Helm's own merge. */}}
{{- define "fairlead.overlay" -}}
{{- $onto := .onto -}}
{{- range $key, $value := (.from | default dict) -}}
{{- if and (kindIs "map" $value) (kindIs "map" (get $onto $key)) -}}
{{- include "fairlead.overlay" (dict "onto" (get $onto $key) "from" $value) -}}
{{- else -}}
{{- $_ := set $onto $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A quantity such as 512Mi in bytes. */}}
{{- define "fairlead.bytes" -}}
{{- $text := toString . -}}
{{- $unit := regexFind "[A-Za-z]+$" $text -}}
{{- $factors := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mul (trimSuffix $unit $text | int64) (get $factors $unit | int64) -}}
{{- end -}}
