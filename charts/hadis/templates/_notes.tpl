{{- /* The cascades that this release serves, as they are in the cluster; none without one. As a list in JSON. */ -}}
{{- define "hadis.cascades" -}}
{{- $found := list -}}
{{- if .Capabilities.APIVersions.Has "hadis.dev/v1alpha1/HadisCascade" -}}
{{- range $namespace := default (list "") .Values.watchNamespaces -}}
{{- $found = concat $found (default (list) (lookup "hadis.dev/v1alpha1" "HadisCascade" $namespace "").items) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- /* The seconds of a manifest's duration, e.g. 1m30s. */ -}}
{{- define "hadis.seconds" -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+(ms|s|m|h)" . -1 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $each := index (dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0) $unit -}}
{{- $sum = addf $sum (mulf (trimSuffix $unit . | float64) $each) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{- /* What the values mean for cascades that are there and is hardly meant: a line each. Input: `root`, `cascades`. */ -}}
{{- define "hadis.warnings" -}}
{{- $root := .root -}}
{{- $found := list -}}
{{- $devices := list -}}
{{- range $name, $_ := $root.Values.defaults.worker.resources.limits -}}
{{- if contains "/" $name -}}{{- $devices = append $devices $name -}}{{- end -}}
{{- end -}}
{{- $open := list -}}
{{- $bare := list -}}
{{- range $cascade := .cascades -}}
{{- $name := printf "%s/%s" $cascade.metadata.namespace $cascade.metadata.name -}}
{{- if not (dig "spec" "router" "apiKeys" "secretName" "" $cascade) -}}
{{- $open = append $open $name -}}
{{- end -}}
{{- with dig "spec" "workers" "template" "resources" (dict) $cascade -}}
{{- if not (contains "/" (join " " (keys (default (dict) .limits)))) -}}
{{- $bare = append $bare $name -}}
{{- end -}}
{{- end -}}
{{- $latency := dig "spec" "slo" "latency" "0s" $cascade -}}
{{- range $kind := list "ingress" "httpRoute" -}}
{{- $ways := index $root.Values $kind -}}
{{- range $route := ternary $ways.routes (list) $ways.enabled -}}
{{- if and (eq $name (printf "%s/%s" $route.namespace $route.cascade)) (ge (include "hadis.seconds" $latency | float64) (float64 $route.timeoutSeconds)) -}}
{{- $words := printf "WARNING: %s.routes gives %s %vs, not more than its spec.slo.latency of %s" $kind $name $route.timeoutSeconds $latency -}}
{{- $found = append $found (printf "%s: the proxy cuts requests that may still be served." $words) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $open -}}
{{- $found = prepend $found (printf "WARNING: these cascades' routers run without keys now: %s" (join ", " $open)) -}}
{{- end -}}
{{- if and $devices $bare -}}
{{- $words := printf "WARNING: the own resources of %s replace those of defaults.worker, %s too" (join ", " $bare) (join ", " $devices) -}}
{{- $found = append $found (printf "%s: their new workers run on CPUs." $words) -}}
{{- end -}}
{{- join "\n" $found -}}
{{- end -}}
