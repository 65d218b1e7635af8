{{/* The names and labels of all objects. */}}
{{- define "pgmove.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- /* A CronJob's name may have 52 characters: its Jobs' get eleven more. */ -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "pgmove.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "pgmove.labels" -}}
{{ include "pgmove.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/component: {{ .Values.mode }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "pgmove.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "pgmove.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "pgmove.claim" -}}
{{- default (printf "%s-archive" (include "pgmove.fullname" .)) .Values.archive.persistentVolumeClaim.existingClaim -}}
{{- end -}}

{{/* Which sides a mode takes. */}}
{{- define "pgmove.sides" -}}
{{- if eq .Values.mode "dump" -}}source
{{- else if eq .Values.mode "restore" -}}target
{{- else if and (eq .Values.mode "validate") .Values.archive.location -}}target
{{- else -}}source target
{{- end -}}
{{- end -}}

{{/* What a schema can't say. */}}
{{- define "pgmove.checks" -}}
{{- $v := .Values -}}
{{- range $side := splitList " " (include "pgmove.sides" .) -}}
{{- $s := index $v $side -}}
{{- $given := list -}}
{{- range $k := list "url" "existingSecret" "secretsManager" -}}
{{- if index $s $k -}}{{- $given = append $given $k -}}{{- end -}}
{{- end -}}
{{- if ne (len $given) 1 -}}
{{- fail (printf "mode %s needs one of %s.url, %s.existingSecret and %s.secretsManager" $v.mode $side $side $side) -}}
{{- end -}}
{{- if regexMatch "://[^/@]*:[^/@]*@|password=" $s.url -}}
{{- fail (printf "%s.url has a password, which anybody could read in the Job: use %s.existingSecret" $side $side) -}}
{{- end -}}
{{- end -}}
{{- if and (has $v.mode (list "dump" "restore")) (not $v.archive.location) -}}
{{- fail (printf "mode %s needs archive.location" $v.mode) -}}
{{- end -}}
{{- if and $v.archive.wait (ne $v.mode "restore") -}}
{{- fail "archive.wait is for mode restore" -}}
{{- end -}}
{{- if and (or (hasPrefix "file:///archive" $v.archive.location) (hasPrefix "/archive/" $v.report)) (not $v.archive.persistentVolumeClaim.enabled) -}}
{{- fail "/archive needs archive.persistentVolumeClaim.enabled" -}}
{{- end -}}
{{- if and (eq $v.mode "dump") $v.schedule (not (contains "$(JOB_NAME)" $v.archive.location)) -}}
{{- fail "a scheduled dump needs $(JOB_NAME) in archive.location: pgmove writes over nothing" -}}
{{- end -}}
{{- if and $v.metrics.podMonitor.enabled (not $v.metrics.enabled) -}}
{{- fail "metrics.podMonitor needs metrics.enabled" -}}
{{- end -}}
{{- end -}}

{{/* pgmove's arguments. */}}
{{- define "pgmove.args" -}}
{{- $v := .Values -}}
{{- $moves := has $v.mode (list "run" "dump" "restore") -}}
- {{ $v.mode }}
{{- with $v.archive.location }}
- {{ printf "--%s=%s" (get (dict "run" "via" "dump" "to" "restore" "from" "validate" "archive" "check" "via") $v.mode) . | quote }}
{{- end }}
{{- if and $moves $v.resume }}
- --resume
{{- end }}
{{- if ne $v.mode "check" }}
- --jobs={{ int $v.jobs }}
- {{ printf "--memory=%s" $v.memory | quote }}
{{- if ne $v.mode "dump" }}
- --validate={{ $v.validate }}
{{- end }}
{{- with $v.report }}
- {{ printf "--report=%s" . | quote }}
{{- end }}
{{- if $v.metrics.enabled }}
- {{ printf "--listen=:%d" (int $v.metrics.port) | quote }}
{{- end }}
{{- end }}
{{- if $v.archive.wait }}
- --wait
{{- end }}
{{- if has $v.mode (list "run" "dump") }}
{{- range $v.archive.encryptTo }}
- {{ printf "--encrypt-to=%s" . | quote }}
{{- end }}
{{- with $v.s3.kmsKey }}
- --s3-sse=aws:kms
- {{ printf "--s3-kms-key=%s" . | quote }}
{{- end }}
{{- end }}
{{- if $v.archive.location }}
{{- with $v.s3.region }}
- {{ printf "--s3-region=%s" . | quote }}
{{- end }}
{{- end }}
{{- range $v.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/* The pod, the same for Job and CronJob. */}}
{{- define "pgmove.pod" -}}
{{- $v := .Values -}}
{{- $sides := splitList " " (include "pgmove.sides" .) -}}
metadata:
  labels:
    {{- include "pgmove.labels" . | nindent 4 }}
    {{- with $v.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $v.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  # podFailurePolicy judges pods, not restarts of a container.
  restartPolicy: Never
  serviceAccountName: {{ include "pgmove.serviceAccount" . }}
  # pgmove never asks Kubernetes for anything. The token of IRSA is a volume of its own.
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ int $v.terminationGracePeriodSeconds }}
  {{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $v.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532 # by which it reads the mounted secrets
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: pgmove
      image: {{ if $v.image.digest }}{{ printf "%s@%s" $v.image.repository $v.image.digest | quote }}{{ else }}{{ printf "%s:%s" $v.image.repository (default .Chart.AppVersion $v.image.tag) | quote }}{{ end }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args:
        {{- include "pgmove.args" . | nindent 8 }}
      env:
        # For $(JOB_NAME) in archive.location.
        - name: JOB_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.labels['batch.kubernetes.io/job-name']
        {{- range $side := $sides }}
        {{- $s := index $v $side }}
        {{- $name := printf "PGMOVE_%s" (upper $side) }}
        {{- if $s.existingSecret }}
        - name: {{ $name }}_FILE
          value: {{ printf "/run/secrets/pgmove/%s/%s" $side $s.key | quote }}
        {{- else if $s.secretsManager }}
        - name: {{ $name }}
          value: {{ printf "aws-secret://%s" (trimPrefix "aws-secret://" $s.secretsManager) | quote }}
        {{- else }}
        - name: {{ $name }}
          value: {{ $s.url | quote }}
        {{- end }}
        - name: {{ $name }}_AUTH
          value: {{ $s.auth }}
        {{- end }}
        {{- if $v.archive.identitySecret }}
        - name: PGMOVE_IDENTITY
          value: /run/secrets/pgmove/identity/identity
        {{- end }}
        {{- if $v.archive.macKeySecret }}
        - name: PGMOVE_MAC_KEY
          value: /run/secrets/pgmove/mac-key/mac-key
        {{- end }}
        {{- with $v.s3.endpoint }}
        - name: PGMOVE_S3_ENDPOINT
          value: {{ . | quote }}
        {{- end }}
        {{- if $v.s3.pathStyle }}
        - name: PGMOVE_S3_PATH_STYLE
          value: "true"
        {{- end }}
        {{- with $v.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $v.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if $v.metrics.enabled }}
      ports:
        - name: metrics
          containerPort: {{ int $v.metrics.port }}
          protocol: TCP
      {{- end }}
      # What it said last is what kubectl describe shows of a pod that failed.
      terminationMessagePath: /dev/termination-log
      terminationMessagePolicy: FallbackToLogsOnError
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        runAsNonRoot: true
        capabilities:
          drop: [ALL]
      resources:
        {{- toYaml $v.resources | nindent 8 }}
      volumeMounts:
        - name: tmp
          mountPath: /tmp
        {{- range $side := $sides }}
        {{- if (index $v $side).existingSecret }}
        - name: {{ $side }}
          mountPath: /run/secrets/pgmove/{{ $side }}
          readOnly: true
        {{- end }}
        {{- end }}
        {{- range $name, $secret := dict "ca" $v.caSecret "identity" $v.archive.identitySecret "mac-key" $v.archive.macKeySecret }}
        {{- if $secret }}
        - name: {{ $name }}
          mountPath: /run/secrets/pgmove/{{ $name }}
          readOnly: true
        {{- end }}
        {{- end }}
        {{- if $v.archive.persistentVolumeClaim.enabled }}
        - name: archive
          mountPath: /archive
        {{- end }}
        {{- with $v.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir:
        sizeLimit: {{ $v.tmp.sizeLimit }}
    {{- range $side := $sides }}
    {{- with (index $v $side).existingSecret }}
    - name: {{ $side }}
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
    {{- end }}
    {{- range $name, $secret := dict "ca" $v.caSecret "identity" $v.archive.identitySecret "mac-key" $v.archive.macKeySecret }}
    {{- with $secret }}
    - name: {{ $name }}
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
    {{- end }}
    {{- if $v.archive.persistentVolumeClaim.enabled }}
    - name: archive
      persistentVolumeClaim:
        claimName: {{ include "pgmove.claim" . }}
    {{- end }}
    {{- with $v.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $v.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The Job's spec. */}}
{{- define "pgmove.job" -}}
backoffLimit: {{ int .Values.backoffLimit }}
activeDeadlineSeconds: {{ int .Values.activeDeadlineSeconds }}
{{- if hasKey .Values "ttlSecondsAfterFinished" }}
ttlSecondsAfterFinished: {{ int .Values.ttlSecondsAfterFinished }}
{{- end }}
completions: 1
parallelism: 1
# A pod that is on its way out still holds the target: the next one comes when it is gone.
podReplacementPolicy: Failed
podFailurePolicy:
  rules:
    # Evicted, preempted, or its node is gone: it didn't fail, and does not count.
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
    # Another try would end no better: wrong usage (3), refused (10), not privileged (12), not resumable (21), the target
    # differs (30), a damaged archive (31). All else is tried again: an outage (20), another run on the target (11).
    - action: FailJob
      onExitCodes:
        containerName: pgmove
        operator: In
        values: [3, 10, 12, 21, 30, 31]
template:
  {{- include "pgmove.pod" . | nindent 2 }}
{{- end -}}
