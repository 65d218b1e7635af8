package test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

const chartDir = "../helm/pgmove"

// podMonitor is what the chart uses of the Prometheus operator's type.
type podMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector            metav1.LabelSelector `json:"selector"`
		PodMetricsEndpoints []struct {
			Port, Path, Interval string
		} `json:"podMetricsEndpoints"`
	} `json:"spec"`
}

// objects are what a chart rendered to, decoded strictly.
type objects struct {
	job        *batchv1.JobSpec
	meta       metav1.ObjectMeta
	cron       *batchv1.CronJobSpec
	account    *corev1.ServiceAccount
	claim      *corev1.PersistentVolumeClaim
	podMonitor *podMonitor
	notes      string
}

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// render renders the chart as helm install does, with the schema checked.
func render(t *testing.T, values string) (map[string]string, error) {
	t.Helper()
	v, err := chartutil.ReadValues([]byte(values))
	if err != nil {
		t.Fatal(err)
	}
	caps := chartutil.DefaultCapabilities.Copy()
	all, err := chartutil.ToRenderValues(load(t), v, chartutil.ReleaseOptions{Name: "nightly", Namespace: "data", IsInstall: true}, caps)
	if err != nil {
		return nil, err
	}
	return (&engine.Engine{Strict: true, LintMode: false}).Render(load(t), all)
}

func strictly(t *testing.T, file, text string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into, yaml.DisallowUnknownFields); err != nil {
		t.Fatalf("%s: %v\n%s", file, err, text)
	}
}

// decode reads the rendered objects. A field that Kubernetes doesn't know is an error, and so is one that is there twice.
func decode(t *testing.T, rendered map[string]string) objects {
	t.Helper()
	var o objects
	for file, text := range rendered {
		if strings.HasSuffix(file, "NOTES.txt") {
			o.notes = text
			continue
		}
		if strings.TrimSpace(text) == "" {
			continue
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(text), &kind); err != nil {
			t.Fatalf("%s: %v\n%s", file, err, text)
		}
		switch kind.APIVersion + " " + kind.Kind {
		case "batch/v1 Job":
			var j batchv1.Job
			strictly(t, file, text, &j)
			o.job, o.meta = &j.Spec, j.ObjectMeta
		case "batch/v1 CronJob":
			var c batchv1.CronJob
			strictly(t, file, text, &c)
			o.cron, o.job, o.meta = &c.Spec, &c.Spec.JobTemplate.Spec, c.ObjectMeta
		case "v1 ServiceAccount":
			o.account = &corev1.ServiceAccount{}
			strictly(t, file, text, o.account)
		case "v1 PersistentVolumeClaim":
			o.claim = &corev1.PersistentVolumeClaim{}
			strictly(t, file, text, o.claim)
		case "monitoring.coreos.com/v1 PodMonitor":
			o.podMonitor = &podMonitor{}
			strictly(t, file, text, o.podMonitor)
		default:
			t.Errorf("%s: an object that no test knows: %v", file, kind)
		}
	}
	if o.job == nil {
		t.Fatal("neither a Job nor a CronJob")
	}
	return o
}

// both are the connection strings that most cases give.
const both = "source: {existingSecret: old, key: dsn}\ntarget: {secretsManager: 'app/target?dbname=app', auth: rds-iam}\n"

// TestChart renders the chart for all that it is for.
func TestChart(t *testing.T) {
	for _, c := range []struct {
		name, values string
		args         []string // all of them
		env          []string // some of them: NAME=value
	}{
		{"run", both, []string{"run", "--resume", "--jobs=4", "--memory=512MiB", "--validate=digest"},
			[]string{"PGMOVE_SOURCE_FILE=/run/secrets/pgmove/source/dsn", "PGMOVE_TARGET=aws-secret://app/target?dbname=app", "PGMOVE_TARGET_AUTH=rds-iam"}},
		{"run by S3", both + "archive: {location: 's3://b/a', encryptTo: [age1x], identitySecret: id, macKeySecret: mac}\ns3: {kmsKey: k, region: eu-central-1, endpoint: 'http://s3:7070', pathStyle: true}\nresume: false\nextraArgs: [--no-owner]\n",
			[]string{"run", "--via=s3://b/a", "--jobs=4", "--memory=512MiB", "--validate=digest", "--encrypt-to=age1x", "--s3-sse=aws:kms", "--s3-kms-key=k", "--s3-region=eu-central-1", "--no-owner"},
			[]string{"PGMOVE_IDENTITY=/run/secrets/pgmove/identity/identity", "PGMOVE_MAC_KEY=/run/secrets/pgmove/mac-key/mac-key", "PGMOVE_S3_ENDPOINT=http://s3:7070", "PGMOVE_S3_PATH_STYLE=true"}},
		{"nightly dump", "mode: dump\nschedule: '30 2 * * *'\ntimeZone: Europe/Berlin\nsource: {url: 'postgres://reader@db/app?sslmode=verify-full', auth: rds-iam}\narchive: {location: 's3://b/$(JOB_NAME)'}\n",
			[]string{"dump", "--to=s3://b/$(JOB_NAME)", "--resume", "--jobs=4", "--memory=512MiB"}, []string{"PGMOVE_SOURCE=postgres://reader@db/app?sslmode=verify-full", "PGMOVE_SOURCE_AUTH=rds-iam"}},
		{"restore", "mode: restore\ntarget: {existingSecret: new}\narchive: {location: 'file:///archive/app', wait: true, persistentVolumeClaim: {enabled: true}}\nvalidate: count\njobs: 16\nmemory: 2GiB\nreport: /archive/report.json\n",
			[]string{"restore", "--from=file:///archive/app", "--resume", "--jobs=16", "--memory=2GiB", "--validate=count", "--report=/archive/report.json", "--wait"}, []string{"PGMOVE_TARGET_FILE=/run/secrets/pgmove/target/url"}},
		{"validate with the source", "mode: validate\nschedule: '@daily'\n" + both, []string{"validate", "--jobs=4", "--memory=512MiB", "--validate=digest"}, nil},
		{"validate with an archive", "mode: validate\ntarget: {existingSecret: new}\narchive: {location: 's3://b/a'}\n", []string{"validate", "--archive=s3://b/a", "--jobs=4", "--memory=512MiB", "--validate=digest"}, nil},
		{"check", "mode: check\ncaSecret: rds\n" + both, []string{"check"}, nil},
		{"all the rest", both + "metrics: {enabled: true, podMonitor: {enabled: true, labels: {release: prometheus}}}\nserviceAccount: {annotations: {eks.amazonaws.com/role-arn: 'arn:aws:iam::1:role/x'}}\n" +
			"extraEnv: [{name: AWS_REGION, value: eu-central-1}]\nextraEnvFrom: [{secretRef: {name: keys}}]\nextraVolumes: [{name: x, emptyDir: {}}]\nextraVolumeMounts: [{name: x, mountPath: /x}]\n" +
			"imagePullSecrets: [{name: pull}]\nimage: {digest: 'sha256:" + strings.Repeat("a", 64) + "'}\npriorityClassName: high\nnodeSelector: {a: b}\ntolerations: [{operator: Exists}]\naffinity: {nodeAffinity: {}}\npodLabels: {team: data}\nttlSecondsAfterFinished: null\n",
			[]string{"run", "--resume", "--jobs=4", "--memory=512MiB", "--validate=digest", "--listen=:9187"}, []string{"AWS_REGION=eu-central-1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rendered, err := render(t, c.values)
			if err != nil {
				t.Fatal(err)
			}
			o := decode(t, rendered)
			o.sound(t)
			pod := o.job.Template.Spec
			if got := pod.Containers[0].Args; !slices.Equal(got, c.args) {
				t.Errorf("args %q, want %q", got, c.args)
			}
			env := map[string]string{}
			for _, e := range pod.Containers[0].Env {
				env[e.Name] = e.Value
			}
			for _, kv := range c.env {
				if k, v, _ := strings.Cut(kv, "="); env[k] != v {
					t.Errorf("%s is %q, want %q", k, env[k], v)
				}
			}
			o.known(t, c.args)
			o.details(t, c.name)
		})
	}
}

// known: pgmove has the commands and flags that the chart passes.
func (o objects) known(t *testing.T, args []string) {
	t.Helper()
	if !commands(t)[args[0]] {
		t.Errorf("pgmove has no command %s", args[0])
		return
	}
	for _, f := range unknownFlags(t, args) {
		t.Errorf("pgmove %s has no flag %s", args[0], f)
	}
}

// details are what single cases are for.
func (o objects) details(t *testing.T, name string) {
	t.Helper()
	pod := o.job.Template
	check := func(ok bool, what string) {
		t.Helper()
		if !ok {
			t.Error(what)
		}
	}
	check((o.cron != nil) == (name == "nightly dump" || name == "validate with the source"), "a CronJob where a Job belongs, or the other way")
	switch name {
	case "nightly dump":
		check(o.cron.Schedule == "30 2 * * *" && *o.cron.TimeZone == "Europe/Berlin" && o.cron.ConcurrencyPolicy == batchv1.ForbidConcurrent, "the schedule")
		check(strings.Contains(o.notes, "create job --from=cronjob/nightly-pgmove"), "the notes: "+o.notes)
	case "restore":
		check(o.claim != nil && o.claim.Annotations["helm.sh/resource-policy"] == "keep", "the claim goes with the release")
	case "all the rest":
		check(o.account != nil && o.account.Annotations["eks.amazonaws.com/role-arn"] != "", "the role")
		check(o.job.TTLSecondsAfterFinished == nil, "a time to live")
		check(strings.HasSuffix(pod.Spec.Containers[0].Image, "pgmove@sha256:"+strings.Repeat("a", 64)), "the image "+pod.Spec.Containers[0].Image)
		check(o.podMonitor != nil && o.podMonitor.Spec.PodMetricsEndpoints[0].Port == pod.Spec.Containers[0].Ports[0].Name, "the port of the metrics")
		for k, v := range o.podMonitor.Spec.Selector.MatchLabels {
			check(pod.Labels[k] == v, "the PodMonitor selects no pod: "+k)
		}
		check(o.podMonitor.Labels["release"] == "prometheus" && pod.Labels["team"] == "data" && pod.Spec.PriorityClassName == "high" && len(pod.Spec.Tolerations) == 1, "labels, priority, tolerations")
	case "run", "check":
		check(strings.Contains(o.notes, "logs -f job/nightly-pgmove"), "the notes: "+o.notes)
	}
}

var exitCode = regexp.MustCompile(`(?m)^ +(\d+)  (.+)$`)

// TestExitCodes: a Job fails at once by the codes after which another try ends no better, and by no other; pgmove
// documents them all.
func TestExitCodes(t *testing.T) {
	rendered, err := render(t, both)
	if err != nil {
		t.Fatal(err)
	}
	// What becomes of a pod that ends with a code of pgmove's; a new code must be put here, and into the chart.
	final := map[int]bool{1: false, 3: true, 10: true, 11: false, 12: true, 20: false, 21: true, 30: true, 31: true, 130: false}
	var documented, want []int
	for _, m := range exitCode.FindAllStringSubmatch(help(t), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		documented = append(documented, n)
	}
	for _, n := range documented {
		fails, known := final[n]
		if !known && n != 0 {
			t.Errorf("what becomes of a pod that ends with %d?", n)
		}
		if fails {
			want = append(want, n)
		}
	}
	if len(documented) != len(final)+1 {
		t.Errorf("pgmove documents %v, this test knows %v", documented, slices.Sorted(maps.Keys(final)))
	}
	policy := decode(t, rendered).job.PodFailurePolicy
	for _, r := range policy.Rules {
		if r.Action != batchv1.PodFailurePolicyActionFailJob {
			continue
		}
		var got []int
		for _, v := range r.OnExitCodes.Values {
			got = append(got, int(v))
		}
		if !slices.Equal(got, want) || r.OnExitCodes.Operator != batchv1.PodFailurePolicyOnExitCodesOpIn || *r.OnExitCodes.ContainerName != "pgmove" {
			t.Errorf("the Job fails by %v (%s), want %v", got, r.OnExitCodes.Operator, want)
		}
	}
	if r := policy.Rules[0]; r.Action != batchv1.PodFailurePolicyActionIgnore || len(r.OnPodConditions) != 1 || r.OnPodConditions[0].Type != corev1.DisruptionTarget {
		t.Errorf("the first rule is %+v", r)
	}
}

// sound checks what holds for every Job, and what the API server would refuse.
func (o objects) sound(t *testing.T) {
	t.Helper()
	pod := o.job.Template.Spec
	if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 {
		t.Fatalf("%d containers", len(pod.Containers))
	}
	c := pod.Containers[0]
	for what, ok := range map[string]bool{
		"restartPolicy, without which there is no podFailurePolicy": pod.RestartPolicy == corev1.RestartPolicyNever,
		"podReplacementPolicy":          o.job.PodReplacementPolicy != nil && *o.job.PodReplacementPolicy == batchv1.Failed,
		"backoffLimit":                  *o.job.BackoffLimit > 0,
		"activeDeadlineSeconds":         *o.job.ActiveDeadlineSeconds > 0,
		"terminationGracePeriodSeconds": *pod.TerminationGracePeriodSeconds >= 60,
		"runAsNonRoot":                  *pod.SecurityContext.RunAsNonRoot && *c.SecurityContext.RunAsNonRoot && *pod.SecurityContext.RunAsUser > 0,
		"seccompProfile":                pod.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"readOnlyRootFilesystem":        *c.SecurityContext.ReadOnlyRootFilesystem,
		"allowPrivilegeEscalation":      !*c.SecurityContext.AllowPrivilegeEscalation,
		"capabilities":                  slices.Equal(c.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(c.SecurityContext.Capabilities.Add) == 0,
		"the token of the API":          !*pod.AutomountServiceAccountToken,
		"terminationMessagePath":        c.TerminationMessagePath == "/dev/termination-log" && c.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError,
		"the service account":           o.account != nil && pod.ServiceAccountName == o.account.Name,
		"limits":                        c.Resources.Limits.Memory().Value() >= 1<<30,
		"a user who can read secrets":   pod.SecurityContext.FSGroup != nil,
	} {
		if !ok {
			t.Errorf("amiss: %s", what)
		}
	}
	if o.cron != nil && (o.cron.ConcurrencyPolicy != batchv1.ForbidConcurrent || len(o.meta.Name) > 52) {
		t.Errorf("the CronJob %s: %s", o.meta.Name, o.cron.ConcurrencyPolicy)
	}
	for k, v := range o.job.Template.Labels {
		if e := append(validation.IsQualifiedName(k), validation.IsValidLabelValue(v)...); len(e) > 0 {
			t.Errorf("the label %s=%s: %v", k, v, e)
		}
	}
	volumes, mounts, names := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, v := range pod.Volumes {
		if volumes[v.Name] || len(validation.IsDNS1123Label(v.Name)) > 0 {
			t.Errorf("the volume %s is there twice, or no name", v.Name)
		}
		volumes[v.Name] = true
		if v.Secret != nil && *v.Secret.DefaultMode != 0o440 {
			t.Errorf("the secret %s has mode %o", v.Name, *v.Secret.DefaultMode)
		}
		if claim := v.PersistentVolumeClaim; claim != nil && o.claim != nil && claim.ClaimName != o.claim.Name {
			t.Errorf("the claim %s", claim.ClaimName)
		}
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] || mounts[m.MountPath] {
			t.Errorf("%s is mounted at %s, and isn't there, or something else is", m.Name, m.MountPath)
		}
		mounts[m.MountPath] = true
		delete(names, m.Name)
	}
	if !mounts["/tmp"] {
		t.Error("no /tmp")
	}
	for _, e := range c.Env {
		if names[e.Name] {
			t.Errorf("%s is set twice", e.Name)
		}
		names[e.Name] = true
		if strings.HasSuffix(e.Name, "_FILE") && !mounts[e.Value[:strings.LastIndex(e.Value, "/")]] {
			t.Errorf("%s=%s is not mounted", e.Name, e.Value)
		}
	}
}

// TestMemory: by the chart's own values the container's limit leaves room beside what pgmove keeps to.
func TestMemory(t *testing.T) {
	rendered, err := render(t, both)
	if err != nil {
		t.Fatal(err)
	}
	c := decode(t, rendered).job.Template.Spec.Containers[0]
	i := slices.IndexFunc(c.Args, func(a string) bool { return strings.HasPrefix(a, "--memory=") })
	var mib int64
	if n, err := fmt.Sscanf(c.Args[i], "--memory=%dMiB", &mib); n != 1 || err != nil {
		t.Fatal(c.Args[i], err)
	}
	if limit := c.Resources.Limits.Memory().Value(); limit < 2*mib<<20 || c.Resources.Requests.Memory().Value() < mib<<20 {
		t.Errorf("--memory %d MiB, and a limit of %d", mib, limit)
	}
}

// TestRefused: values that make no sense are refused, by name.
func TestRefused(t *testing.T) {
	for values, want := range map[string]string{
		"":                           "needs one of source.url",
		both + "mode: migrate\n":     "mode",
		both + "modes: run\n":        "modes",
		both + "jobs: 0\n":           "jobs",
		both + "jobs: many\n":        "jobs",
		both + "memory: lots\n":      "memory",
		both + "validate: full\n":    "validate",
		both + "schedule: nightly\n": "schedule",
		both + "terminationGracePeriodSeconds: 5\n":                                           "terminationGracePeriodSeconds",
		both + "archive: {location: /tmp/x}\n":                                                "location",
		both + "archive: {location: 'file:///archive/x'}\n":                                   "persistentVolumeClaim",
		both + "archive: {wait: true}\n":                                                      "archive.wait",
		both + "image: {digest: latest}\n":                                                    "digest",
		both + "metrics: {port: 80}\n":                                                        "port",
		both + "metrics: {podMonitor: {enabled: true}}\n":                                     "metrics.enabled",
		both + "extraArgs: --no-owner\n":                                                      "extraArgs",
		both + "serviceAccount: {annotations: {a: 1}}\n":                                      "annotations",
		"mode: dump\nsource: {url: 'postgres://h/db'}\n":                                      "needs archive.location",
		"mode: restore\narchive: {location: 's3://b/a'}\n":                                    "target.existingSecret",
		"source: {url: 'postgres://u:pw@h/db'}\ntarget: {url: x}\n":                           "has a password",
		"source: {url: 'host=h password=x'}\ntarget: {url: x}\n":                              "has a password",
		"source: {url: a, existingSecret: b}\ntarget: {url: x}\n":                             "needs one of",
		"source: {auth: kerberos}\n":                                                          "auth",
		"source: {existingSecret: Not_A_Name}\n":                                              "existingSecret",
		"source: {existingSecret: a, password: b}\n":                                          "password",
		"mode: dump\nschedule: '@daily'\nsource: {url: a}\narchive: {location: 's3://b/a'}\n": "$(JOB_NAME)",
	} {
		if rendered, err := render(t, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q (%d files)", values, err, want, len(rendered))
		}
	}
}

// TestLint: helm lint has nothing to say, not even advice but for the icon.
func TestLint(t *testing.T) {
	values, err := chartutil.ReadValues([]byte(both))
	if err != nil {
		t.Fatal(err)
	}
	result := lint.AllWithKubeVersion(chartDir, values, "data", nil)
	for _, m := range result.Messages {
		if m.Severity > support.InfoSev || !strings.Contains(m.Error(), "icon is recommended") {
			t.Error(m.Error())
		}
	}
}
