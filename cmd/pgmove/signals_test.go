package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/testbed"
)

// TestSignals stops runs at random moments, softly or hard, and goes on with the very line that was printed.
func TestSignals(t *testing.T) {
	s3 := testbed.SharedS3(t)
	useS3(t, s3)
	side := newSideBySide(t)
	defer side.wait()
	for _, c := range []struct {
		name   string
		signal os.Signal
		kill   bool // a second later
		via    string
		code   int
	}{{"SIGTERM", syscall.SIGTERM, false, "", 143}, {"SIGINT", os.Interrupt, false, "folder", 130}, {"SIGTERM S3", syscall.SIGTERM, false, "s3", 143},
		{"SIGTERM, SIGKILL", syscall.SIGTERM, true, "", 143}, {"twice", os.Interrupt, false, "", 130}} {
		side.run(c.name, func(t *testing.T) {
			f := newFaultBed(t, much)
			f.beside = true
			f.from.Toxic(t, "bandwidth", "downstream", map[string]any{"rate": 1500})
			report := t.TempDir() + "/the report.json"
			args := f.args("--report", report)
			switch c.via {
			case "folder":
				args = append(args, "--via", t.TempDir()+"/archive")
			case "s3":
				args = append(args, "--s3-path-style", "--via=s3://"+testbed.Bucket(t, s3)+"/x")
			}
			file, err := binary()
			if err != nil {
				t.Fatal(err)
			}
			var out, errs bytes.Buffer
			cmd := exec.CommandContext(t.Context(), file, args...)
			cmd.Stdout, cmd.Stderr = &out, &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if f.rng.IntN(2) == 0 {
				f.until(f.b, f.dst, takenChunks(1+f.rng.IntN(4)))
			} else {
				time.Sleep(time.Duration(200+f.rng.IntN(600)) * time.Millisecond)
			}
			begun := time.Now()
			_ = cmd.Process.Signal(c.signal)
			if c.name == "twice" {
				time.Sleep(time.Millisecond)
				_ = cmd.Process.Signal(c.signal)
			}
			if c.kill {
				timer := time.AfterFunc(time.Second, func() { _ = cmd.Process.Kill() })
				defer timer.Stop()
			}
			_ = cmd.Wait() // how it ended stands in its exit code
			f.out = out.String() + errs.String()
			code := cmd.ProcessState.ExitCode()
			if code != c.code && (!c.kill || code != -1) {
				t.Fatalf("exit code %d\n%s", code, f.out)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("it took %v to end", took)
			}
			f.from.Heal()

			if code == c.code && c.name != "twice" {
				wantText(t, f.out, "stopped by a signal", "to go on: pgmove run", "passwords")
				if b, err := os.ReadFile(report); err != nil || !strings.Contains(string(b), fmt.Sprintf(`"exit_code": %d`, c.code)) {
					t.Errorf("the report: %v %s", err, b)
				}
				_, line, _ := strings.Cut(errs.String(), "to go on: ")
				line, _, _ = strings.Cut(line, "\n")
				f.nothingLeft()
				shell := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(line, "pgmove", file, 1))
				shell.Env = append(os.Environ(), "PGPASSWORD="+f.a.Password())
				if b, err := shell.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", line, err, b)
				}
			} else if r := execute(t, nil, 0, append(args, "--resume")...); r.code != 0 {
				t.Fatalf("resumed: exit code %d\n%s%s", r.code, r.out, r.errors)
			}
			f.oracle()
		})
	}
}

// TestResumeLine: what is printed can be pasted into a shell, and tells no secret.
func TestResumeLine(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"run|--source|postgres://u:pw@h/a|--target|postgres://u@h/b", "run --source postgres://u@h/a --target postgres://u@h/b --resume"},
		{"run|--source=postgres://u:pw@h/a?x=1|-target|host=h password=pw dbname=b|--resume", "run '--source=postgres://u@h/a?x=1' -target 'host=h dbname=b' --resume"},
		{"dump|--source|not a string pw|--to|it's here", `dump --source … --to 'it'\''s here' --resume`},
		{"restore|--from|s3://b/p|--s3-endpoint|https://u:pw@s3.example|--resume", "restore --from s3://b/p --s3-endpoint https://u@s3.example --resume"},
		{"run|--push-gateway|http://ops:s3cr@pw@gw:9091", "run --push-gateway http://ops@gw:9091 --resume"},
	} {
		got := resumeLine(append([]string{"pgmove"}, strings.Split(c.in, "|")...))
		first, _, _ := strings.Cut(got, "\n")
		if strings.ReplaceAll(first, "'…'", "…") != "  to go on: pgmove "+c.want || strings.Contains(got, "pw") {
			t.Errorf("%s:\n%s", c.in, got)
		}
	}
	for _, args := range [][]string{{"pgmove"}, {"pgmove", "validate", "run"}, {"pgmove", "snapshot", "--hold"}} {
		if got := resumeLine(args); got != "" {
			t.Errorf("%v: %s", args, got)
		}
	}
}

// TestGrace: what doesn't end within its time of grace is ended.
func TestGrace(t *testing.T) {
	codes := make(chan int, 1)
	grace, exit = 100*time.Millisecond, func(code int) { codes <- code }
	defer func() { grace, exit = 20*time.Second, os.Exit }()
	var out bytes.Buffer
	ctx, end := untilSignal(&out, func() string { return "go on so\n" })
	defer end()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if code := <-codes; code != 143 {
		t.Errorf("exit code %d", code)
	}
	wantText(t, out.String(), "did not end", "go on so")
}
