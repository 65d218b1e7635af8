package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// TestCompose reads docker-compose.yml as docker compose does: what its schema doesn't know is an error.
func TestCompose(t *testing.T) {
	file, err := filepath.Abs(root + "/docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{WorkingDir: filepath.Dir(file), ConfigFiles: []types.ConfigFile{{Filename: file}}, Environment: types.Mapping{}},
		func(o *loader.Options) { o.Profiles = []string{"pgmove"}; o.SetProjectName("playground", true) })
	if err != nil {
		t.Fatal(err)
	}
	ports := map[string]string{}
	for name, s := range p.Services {
		if name != "pgmove" && (s.HealthCheck == nil || len(s.HealthCheck.Test) < 2) {
			t.Errorf("%s: up --wait can't tell when it is ready", name)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: the port %s is open to other machines", name, port.Published)
			}
			if other := ports[port.Published]; other != "" {
				t.Errorf("%s and %s both want port %s", name, other, port.Published)
			}
			ports[port.Published] = name
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				if _, err := os.Stat(v.Source); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			} else if _, ok := p.Volumes[v.Source]; !ok {
				t.Errorf("%s: no such volume: %s", name, v.Source)
			}
		}
		for d := range s.DependsOn {
			if _, ok := p.Services[d]; !ok {
				t.Errorf("%s depends on %s, which isn't there", name, d)
			}
		}
	}
	me := p.Services["pgmove"]
	if me.Build == nil || me.Build.Context != filepath.Dir(file) || !me.ReadOnly || !slices.Equal(me.CapDrop, []string{"ALL"}) || !slices.Contains(me.Tmpfs, "/tmp") || !slices.Equal(me.Profiles, []string{"pgmove"}) {
		t.Errorf("pgmove is not confined as it should be: %+v", me)
	}
	// The connection strings go with the servers.
	for env, want := range map[string]string{"PGMOVE_SOURCE": "source", "PGMOVE_TARGET": "target"} {
		s := p.Services[want]
		url := "postgres://postgres:" + *s.Environment["POSTGRES_PASSWORD"] + "@" + want + "/" + *s.Environment["POSTGRES_DB"]
		if got := *me.Environment[env]; got != url {
			t.Errorf("%s=%s, want %s", env, got, url)
		}
	}
	if *me.Environment["AWS_SECRET_ACCESS_KEY"] != *p.Services["s3"].Environment["ROOT_SECRET_KEY"] {
		t.Error("the keys of S3")
	}
}

var (
	stage       = regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+)(?: AS (\S+))?$`)
	copied      = regexp.MustCompile(`(?m)^COPY (?:--from=(\S+) )?(.+) \S+$`)
	instruction = regexp.MustCompile(`^(ARG|FROM|WORKDIR|COPY|RUN|LABEL|ENV|USER|ENTRYPOINT|CMD) `)
)

// TestDockerfile checks what needs no builder: every stage and every file it names is there, the context lets them through,
// the last stage runs as a number and starts pgmove without a shell.
func TestDockerfile(t *testing.T) {
	b, err := os.ReadFile(root + "/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	ignore, err := os.ReadFile(root + "/.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, l := range strings.Split(strings.ReplaceAll(text, "\\\n", ""), "\n") {
		if l != "" && !strings.HasPrefix(l, "#") && !instruction.MatchString(l) {
			t.Errorf("not an instruction: %s", l)
		}
	}
	stages := map[string]bool{}
	for _, m := range stage.FindAllStringSubmatch(text, -1) {
		stages[m[2]] = true
	}
	for _, m := range copied.FindAllStringSubmatch(text, -1) {
		if m[1] != "" {
			if !stages[m[1]] {
				t.Errorf("no such stage: %s", m[0])
			}
			continue
		}
		for _, f := range strings.Fields(m[2]) {
			if _, err := os.Stat(filepath.Join(root, f)); err != nil {
				t.Error(err)
			}
			if !slices.ContainsFunc(strings.Split(string(ignore), "\n"), func(l string) bool {
				return strings.HasPrefix(l, "!") && (f == l[1:] || strings.HasPrefix(f, l[1:]+"/"))
			}) {
				t.Errorf("%s does not pass .dockerignore", f)
			}
		}
	}
	last := text[strings.LastIndex(text, "\nFROM "):]
	if !strings.HasPrefix(last, "\nFROM scratch\n") || !strings.Contains(last, "\nUSER 65532:65532\n") {
		t.Errorf("the last stage:%s", last)
	}
	entry := regexp.MustCompile(`(?m)^ENTRYPOINT (\[.*\])$`).FindStringSubmatch(last)
	var program []string
	if entry == nil || json.Unmarshal([]byte(entry[1]), &program) != nil || !slices.Equal(program, []string{"/usr/local/bin/pgmove"}) {
		t.Errorf("the entry point is %q", entry)
	}
	if !strings.Contains(text, "CGO_ENABLED=0") {
		t.Error("the binary needs a C library")
	}
	// What go build needs and the context leaves out would only show in a builder.
	for _, dir := range packages(t) {
		top, _, _ := strings.Cut(dir, "/")
		if !strings.Contains(text, "\nCOPY "+top+" "+top+"\n") {
			t.Errorf("package %s is not copied", dir)
		}
	}
}
