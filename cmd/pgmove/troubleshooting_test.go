package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTroubleshooting: each message that docs/troubleshooting.md explains is still one of pgmove's.
func TestTroubleshooting(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	var code strings.Builder
	for _, dir := range []string{"cmd", "dump", "stream", "restore", "validate", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			code.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// Joined literals are one message, and a verb stands where the document has an ellipsis.
	text := regexp.MustCompile(`"\s*\+\s*"`).ReplaceAllString(code.String(), "")
	b, err := os.ReadFile(filepath.Join(root, "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(b), -1)
	if len(rows) < 40 {
		t.Errorf("only %d messages were found in the document", len(rows))
	}
	for _, row := range rows {
		for _, part := range strings.Split(row[1], "…") {
			if part = strings.Trim(part, " "); len(part) > 3 && !strings.Contains(text, part) {
				t.Errorf("%q: no message has %q any more", row[1], part)
			}
		}
	}
}
