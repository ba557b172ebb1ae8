{{- define "callpipeline.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "callpipeline.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{/* Labels by which pods of the release are selected. */}}
{{- define "callpipeline.selector" -}}
app.kubernetes.io/name: callpipeline
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "callpipeline.labels" -}}
{{ include "callpipeline.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Settings of all services; those of .Values.settings come last, and win. */}}
{{- define "callpipeline.settings" -}}
{{- $name := include "callpipeline.name" . -}}
{{- $settings := dict
  "CALLPIPELINE_HOME" "/data"
  "CALLPIPELINE_RECORDINGS" .Values.recordings
  "CALLPIPELINE_STORAGE" .Values.storage
  "CALLPIPELINE_CODE_HOST" "0.0.0.0"
  "CALLPIPELINE_CODE_PORT" "4266"
  "CALLPIPELINE_CODE_SERVER" (printf "%s-code-server:4266" $name)
  "CALLPIPELINE_UI_HOST" "0.0.0.0"
  "CALLPIPELINE_PORT" "3000"
  "CALLPIPELINE_UI_SERVER" (printf "%s-ui:3000" $name)
  "CALLPIPELINE_WEB_HOST" "0.0.0.0"
  "CALLPIPELINE_WEB_PORT" "8100"
  "CALLPIPELINE_LOG_FORMAT" "json"
  "CALLPIPELINE_RUN_LAUNCHER" "k8s"
  "CALLPIPELINE_MAX_RUNS" (toString .Values.runs.max)
  "CALLPIPELINE_STOP_GRACE_S" (toString (sub (int .Values.gracePeriod) 10))
-}}
{{- if .Values.sources -}}
{{- $_ := set $settings "CALLPIPELINE_SOURCES" "/etc/callpipeline/sources.yaml" -}}
{{- end -}}
{{- if .Values.url -}}
{{- $_ := set $settings "CALLPIPELINE_WEB_URL" .Values.url -}}
{{- else if .Values.ingress.enabled -}}
{{- $scheme := ternary "https" "http" (ne .Values.ingress.tlsSecret "") -}}
{{- $_ := set $settings "CALLPIPELINE_WEB_URL" (printf "%s://%s" $scheme .Values.ingress.host) -}}
{{- end -}}
{{- range $key, $value := .Values.settings -}}
{{- /* A number of a million and more would be written as 1e+06. */ -}}
{{- $isWhole := and (kindIs "float64" $value) (eq (floor $value) (float64 $value)) -}}
{{- $_ := set $settings $key (ternary (printf "%d" (int64 $value)) (toString $value) $isWhole) -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/* The database's URL from a Secret of its own, if there is one. */}}
{{- define "callpipeline.databaseEnv" -}}
{{- if .Values.database.secret -}}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.secret }}
      key: {{ .Values.database.key }}
{{- end -}}
{{- end -}}

{{- define "callpipeline.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "callpipeline.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "callpipeline.pullSecrets" -}}
{{- range .Values.image.pullSecrets }}
- name: {{ . }}
{{- end -}}
{{- end -}}

{{/*
A Deployment. Takes root, component, command, replicas, strategy, resources, account (of its own, with
a token), ports and probes as text.
*/}}
{{- define "callpipeline.deployment" -}}
{{- $root := .root -}}
{{- $name := include "callpipeline.name" $root -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}-{{ .component }}
  labels:
    {{- include "callpipeline.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  {{- if .replicas }}
  replicas: {{ .replicas }}
  {{- end }}
  strategy:
    type: {{ .strategy }}
  selector:
    matchLabels:
      {{- include "callpipeline.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
  template:
    metadata:
      labels:
        {{- include "callpipeline.labels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
      annotations:
        # Pods restart when their settings change.
        checksum/config: {{ include (print $root.Template.BasePath "/config.yaml") $root | sha256sum }}
    spec:
      serviceAccountName: {{ .account | default $name }}
      automountServiceAccountToken: {{ if .account }}true{{ else }}false{{ end }}
      # Variables of services, such as CALLPIPELINE_WEB_PORT, would replace settings.
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $root.Values.gracePeriod }}
      securityContext:
        {{- include "callpipeline.podSecurity" $root | nindent 8 }}
      {{- with include "callpipeline.pullSecrets" $root }}
      imagePullSecrets:
        {{- . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "callpipeline.image" $root }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: [{{ .command }}]
          envFrom:
            - configMapRef:
                name: {{ $name }}-settings
            - secretRef:
                name: {{ $root.Values.secret }}
          {{- with include "callpipeline.databaseEnv" $root }}
          env:
            {{- . | nindent 12 }}
          {{- end }}
          {{- with .ports }}
          ports:
            {{- . | nindent 12 }}
          {{- end }}
          {{- .probes | nindent 10 }}
          resources:
            {{- toYaml .resources | nindent 12 }}
          securityContext:
            {{- include "callpipeline.containerSecurity" $root | nindent 12 }}
          volumeMounts:
            - { name: data, mountPath: /data }
            - { name: tmp, mountPath: /tmp }
            - { name: files, mountPath: /etc/callpipeline, readOnly: true }
      volumes:
        - { name: data, emptyDir: {} }
        - { name: tmp, emptyDir: {} }
        - name: files
          configMap:
            name: {{ $name }}-files
{{- end -}}

{{- define "callpipeline.service" -}}
{{- $root := .root -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "callpipeline.name" $root }}-{{ .component }}
  labels:
    {{- include "callpipeline.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  selector:
    {{- include "callpipeline.selector" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
  ports:
    - name: {{ .port }}
      port: {{ .number }}
      targetPort: {{ .port }}
{{- end -}}
