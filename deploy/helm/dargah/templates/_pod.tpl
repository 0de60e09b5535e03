{{- define "dargah.selector" -}}
app.kubernetes.io/name: dargah
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "dargah.metadata" -}}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "dargah.selector" . | nindent 2 }}
  app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ .Release.Service }}
  helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "dargah.namespaces" -}}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ . }}
{{- end }}

{{- /* As JSON a million is 1000000; as text of a template it would be 1e+06. */}}
{{- define "dargah.settings" -}}
DARGAH_LISTEN: 0.0.0.0:8080
DARGAH_ADMIN_LISTEN: 0.0.0.0:8081
{{- range $name, $value := .Values.settings }}
{{ $name }}: {{ if kindIs "string" $value }}{{ $value | quote }}{{ else }}{{ toJson $value | quote }}{{ end }}
{{- end }}
{{- end }}

{{- /* The pod of both modes. Only replicas have their database in the secret, and nothing to keep in /data. */}}
{{- define "dargah.pod" -}}
metadata:
  labels:
    {{- include "dargah.selector" . | nindent 4 }}
  annotations:
    prometheus.io/scrape: "true"
    prometheus.io/port: "8081"
    # A changed setting replaces the pods.
    checksum/settings: {{ include "dargah.settings" . | sha256sum }}
spec:
  serviceAccountName: {{ .Release.Name }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  # Over DARGAH_DRAIN_SECONDS.
  terminationGracePeriodSeconds: {{ add 10 (.Values.settings.DARGAH_DRAIN_SECONDS | default 25 | ceil | int) }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- if eq .Values.mode "replicas" }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "dargah.selector" . | nindent 10 }}
  {{- end }}
  containers:
    - name: dargah
      {{- with .Values.image }}
      image: {{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
      {{- end }}
      envFrom:
        - configMapRef:
            name: {{ .Release.Name }}-settings
      {{- if eq .Values.mode "replicas" }}
      env:
        # A file would not be read: the image's own DARGAH_DATABASE goes before it.
        - name: DARGAH_DATABASE
          valueFrom:
            secretKeyRef: {name: {{ .Values.secretName }}, key: dargah_database}
      {{- end }}
      ports:
        - name: http
          containerPort: 8080
        - name: admin
          containerPort: 8081
      startupProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 2
        failureThreshold: 30
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 2
        timeoutSeconds: 3
        failureThreshold: 2
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: secrets, mountPath: /etc/dargah, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        - {name: data, mountPath: /data}
  volumes:
    - name: secrets
      secret:
        secretName: {{ .Values.secretName }}
        defaultMode: 0440
    - name: tmp
      emptyDir: {medium: Memory, sizeLimit: 16Mi}
    {{- if eq .Values.mode "replicas" }}
    - name: data
      emptyDir: {sizeLimit: 16Mi}
    {{- end }}
{{- end }}
