package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// root is the repository's.
const root = "../.."

// program is the pgmove of this repository.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "pgmove-deploy")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "pgmove")
	cmd := exec.Command("go", "build", "-o", file, "./cmd/pgmove")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	return file, cmd.Run()
})

func TestMain(m *testing.M) {
	code := m.Run()
	if file, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(file))
	}
	os.Exit(code)
}

// help is what pgmove --help, or pgmove COMMAND --help, prints.
func help(t *testing.T, command ...string) string {
	t.Helper()
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), file, append(command, "--help")...).Output()
	if err != nil {
		t.Fatalf("pgmove %s --help: %v", strings.Join(command, " "), err)
	}
	return string(out)
}

var commandLine = regexp.MustCompile(`(?m)^   ([a-z]+)  +\S`)

// commands are pgmove's.
func commands(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, m := range commandLine.FindAllStringSubmatch(help(t), -1) {
		all[m[1]] = true
	}
	if !all["run"] || !all["restore"] {
		t.Fatalf("pgmove --help lists %v", all)
	}
	return all
}

// flags are those of a command line that pgmove's command does not know.
func unknownFlags(t *testing.T, args []string) (unknown []string) {
	t.Helper()
	text := help(t, args[0])
	for _, a := range args[1:] {
		name, _, _ := strings.Cut(a, "=")
		if strings.HasPrefix(name, "--") && !regexp.MustCompile(regexp.QuoteMeta(name)+`[ ,\n]`).MatchString(text) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}
