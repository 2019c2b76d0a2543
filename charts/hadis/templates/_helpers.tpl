{{- define "hadis.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "hadis.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "hadis.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "hadis.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "hadis.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is required while serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* The labels that select the operator's pods; never change them. */ -}}
{{- define "hadis.selectorLabels" -}}
app.kubernetes.io/name: hadis-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- /* Labels of every object. Ours stand beside commonLabels: selectors and policies rest on them. */ -}}
{{- define "hadis.labels" -}}
{{- $ours := include "hadis.selectorLabels" . | fromYaml -}}
{{- $_ := set $ours "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $ours "app.kubernetes.io/part-of" "hadis" -}}
{{- $_ := set $ours "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $ours "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- toYaml (merge $ours (default (dict) .Values.commonLabels)) -}}
{{- end -}}

{{- /* The same of an object that others select by labels of theirs, which stand. Input: `root` and `labels`. */ -}}
{{- define "hadis.labelsWith" -}}
{{- toYaml (merge (dict) (default (dict) .labels) (include "hadis.labels" .root | fromYaml)) -}}
{{- end -}}

{{- /* The reference of one image. Input: a dict of `image` and `root`. */ -}}
{{- define "hadis.image" -}}
{{- $tag := default .root.Chart.AppVersion .image.tag -}}
{{- if hasPrefix "sha256:" $tag -}}
{{- printf "%s@%s" .image.repository $tag -}}
{{- else -}}
{{- printf "%s:%s" .image.repository $tag -}}
{{- end -}}
{{- end -}}

{{- /* What the operator is told: the file that it reads at start. */ -}}
{{- define "hadis.installation" -}}
version: {{ .Chart.AppVersion | quote }}
images:
  router:
    reference: {{ include "hadis.image" (dict "image" .Values.images.router "root" .) | quote }}
    pullPolicy: {{ .Values.images.router.pullPolicy }}
  worker:
    reference: {{ include "hadis.image" (dict "image" .Values.images.worker "root" .) | quote }}
    pullPolicy: {{ .Values.images.worker.pullPolicy }}
imagePullSecrets: {{ toJson .Values.imagePullSecrets }}
watchNamespaces: {{ toJson .Values.watchNamespaces }}
prometheusURL: {{ .Values.monitoring.prometheus.url | quote }}
networkPolicy:
  enabled: {{ .Values.networkPolicy.enabled }}
  monitoringFrom: {{ toJson .Values.networkPolicy.monitoring.from }}
  routerFrom: {{ toJson .Values.networkPolicy.router.from }}
  operator:
    namespace: {{ .Release.Namespace }}
    podSelector:
      {{- include "hadis.selectorLabels" . | nindent 6 }}
dataPlaneServiceAccount: {{ .Values.dataPlane.serviceAccountName | quote }}
huggingFace:
  tokenSecret: {{ toJson .Values.huggingFace.tokenSecret }}
  offline: {{ .Values.huggingFace.offline }}
defaults:
  worker: {{ toJson .Values.defaults.worker }}
  router: {{ toJson .Values.defaults.router }}
{{- end -}}

{{- /* A container's security context under the restricted pod security standard. */ -}}
{{- define "hadis.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "hadis.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- /* What the operator may do where cascades live: a rule for each kind that it makes, none that it does not;
what it stops wanting while a cascade lives are slots, policies and Jobs, the rest goes with the cascade. */ -}}
{{- define "hadis.rules" -}}
- apiGroups: [hadis.dev]
  resources: [hadiscascades, hadisprofiles]
  verbs: [get, list, watch]
- apiGroups: [hadis.dev]
  resources: [hadiscascades/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps, persistentvolumeclaims]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- if .Values.rbac.readSecrets }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- end }}
{{- end -}}

{{- /* The ports on which the pods of Prometheus may listen, by its URL: that of the URL; where it names none, that of
its scheme and Prometheus' own, to which a Service on port 80 leads. As a list in JSON. */ -}}
{{- define "hadis.prometheusPorts" -}}
{{- $url := urlParse .Values.monitoring.prometheus.url -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- if $port -}}[{{ $port }}]{{- else if eq $url.scheme "https" -}}[443, 9090]{{- else -}}[80, 9090]{{- end -}}
{{- end -}}

{{- /* Refuses values that are well-formed but cannot work. */ -}}
{{- define "hadis.check" -}}
{{- range $kind := list "ingress" "httpRoute" -}}
{{- $entry := index $.Values $kind -}}
{{- if and $entry.enabled (not $entry.routes) -}}
{{- fail (printf "%s.enabled needs at least one entry in %s.routes: {cascade, namespace, host, timeoutSeconds}" $kind $kind) -}}
{{- end -}}
{{- $seen := list -}}
{{- range $route := ternary $entry.routes (list) $entry.enabled -}}
{{- $name := printf "%s/%s" $route.namespace $route.cascade -}}
{{- if has $name $seen -}}
{{- fail (printf "%s.routes has %s twice: a cascade gets one route, whose name is the cascade's" $kind $name) -}}
{{- end -}}
{{- $seen = append $seen $name -}}
{{- end -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.enabled needs httpRoute.parentRefs, the Gateways to attach to" -}}
{{- end -}}
{{- if and .Values.rbac.create (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.name is required while serviceAccount.create is false" -}}
{{- end -}}
{{- end -}}
