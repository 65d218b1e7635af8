package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// packages lists the folders of the packages of this module's that pgmove is built of.
func packages(t *testing.T) (dirs []string) {
	t.Helper()
	const module = "github.com/pgmove/pgmove/"
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/pgmove")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Fields(string(out)) {
		if d, ok := strings.CutPrefix(l, module); ok {
			dirs = append(dirs, d)
		}
	}
	if len(dirs) < 10 {
		t.Fatalf("only %v", dirs)
	}
	return dirs
}

// unit reads a systemd unit: section and key, to all values of the key.
func unit(t *testing.T, file string) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../jumphost", file))
	if err != nil {
		t.Fatal(err)
	}
	all, section := map[string][]string{}, ""
	for i, l := range strings.Split(string(b), "\n") {
		switch {
		case l == "" || strings.HasPrefix(l, "#"):
		case strings.HasPrefix(l, "[") && strings.HasSuffix(l, "]"):
			if section = l; !slices.Contains([]string{"[Unit]", "[Service]", "[Timer]", "[Install]"}, l) {
				t.Errorf("%s:%d: %s", file, i+1, l)
			}
		default:
			k, v, ok := strings.Cut(l, "=")
			if !ok || section == "" || !regexp.MustCompile(`^[A-Z][A-Za-z0-9]+$`).MatchString(k) {
				t.Errorf("%s:%d: %s", file, i+1, l)
			}
			all[section+k] = append(all[section+k], v)
		}
	}
	return all
}

// line runs a command of a unit or a crontab with the real pgmove and no database.
func line(t *testing.T, command string, env ...string) (code int, output string) {
	t.Helper()
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Env = append(os.Environ(), append([]string{"PATH=" + filepath.Dir(file) + ":" + os.Getenv("PATH")}, env...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run() // how it ended stands in its exit code
	return cmd.ProcessState.ExitCode(), out.String()
}

// source is a file with a connection string that leads nowhere.
func source(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(file, []byte("postgres://u@127.0.0.1:port/app\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestUnits checks the service and its timer, by systemd's own means where it is there, and runs the service's command.
func TestUnits(t *testing.T) {
	s, timer := unit(t, "pgmove.service"), unit(t, "pgmove.timer")
	for k, want := range map[string]string{"DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "CapabilityBoundingSet": "", "UMask": "0077", "LimitCORE": "0",
		"LoadCredential": "source:/etc/pgmove/source", "Environment": "PGMOVE_SOURCE_FILE=%d/source", "EnvironmentFile": "/etc/pgmove/environment", "RestartPreventExitStatus": "3 10 12 21 30 31"} {
		if got := s["[Service]"+k]; len(got) != 1 || got[0] != want {
			t.Errorf("%s=%q, want %q", k, got, want)
		}
	}
	if len(timer["[Timer]OnCalendar"]) != 1 || timer["[Timer]Persistent"][0] != "true" && timer["[Timer]Persistent"][0] != "yes" || timer["[Install]WantedBy"][0] != "timers.target" {
		t.Errorf("the timer: %v", timer)
	}
	if systemd, err := exec.LookPath("systemd-analyze"); err == nil {
		dir := t.TempDir()
		for _, f := range []string{"pgmove.service", "pgmove.timer"} {
			b, err := os.ReadFile("../jumphost/" + f)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, f), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if out, err := exec.CommandContext(t.Context(), systemd, "verify", dir+"/pgmove.service", dir+"/pgmove.timer").CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("systemd-analyze verify: %v: %s", err, out)
		}
	}
	command := s["[Service]ExecStart"][0]
	quoted := regexp.MustCompile(`^/bin/sh -c '(.*)'$`).FindStringSubmatch(command)
	if quoted == nil {
		t.Fatal(command)
	}
	state := t.TempDir()
	script := strings.NewReplacer("$$", "$", "%%", "%", "/usr/local/bin/pgmove", "pgmove").Replace(quoted[1])
	code, out := line(t, script, "PGMOVE_SOURCE_FILE="+source(t), "STATE_DIRECTORY="+state, "PREFIX=/nowhere/app")
	reports, err := filepath.Glob(state + "/20??-??-??.json")
	if code != 3 || !strings.Contains(out, "not a connection string") || err != nil || len(reports) != 1 {
		t.Errorf("exit code %d, reports %v: %s", code, reports, out)
	}
}

// TestCron runs the crontab's line.
func TestCron(t *testing.T) {
	b, err := os.ReadFile("../jumphost/pgmove.cron")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\d+ \d+ \* \* \* pgmove (.+)$`).FindSubmatch(b)
	if m == nil || regexp.MustCompile(`[^\\]%`).Match(m[1]) {
		t.Fatalf("no line, or one with a bare %%, which is cron's end of line: %s", m)
	}
	dir := t.TempDir()
	script := strings.NewReplacer(`\%`, "%", "/var/lib/pgmove", dir).Replace(string(m[1]))
	env := "PGMOVE_SOURCE_FILE=" + source(t)
	code, out := line(t, script, env)
	if code != 3 || !strings.Contains(out, "pgmove: exit code 3") || !strings.Contains(out, "not a connection string") {
		t.Errorf("exit code %d: %s", code, out)
	}
	// While another one runs, nothing happens and nobody gets mail.
	code, out = line(t, fmt.Sprintf("cd %s && exec flock lock sh -c %s", dir, "'"+strings.ReplaceAll(script, "'", `'\''`)+"'"), env)
	if code != 0 || out != "" {
		t.Errorf("beside another run: exit code %d: %s", code, out)
	}
}
