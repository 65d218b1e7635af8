package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// version, commit and date are set by the linker: the tag or git describe, the whole commit, and its time in RFC 3339.
var (
	version = "dev"
	commit  string
	date    string
)

func init() {
	if info, ok := debug.ReadBuildInfo(); ok {
		version, commit, date = built(info, version, commit, date)
	}
}

// built fills in what the linker was not told from what the Go tool knows: of go install module@version the version, of a
// build in a clone the commit.
func built(info *debug.BuildInfo, version, commit, date string) (string, string, string) {
	vcs := map[string]string{}
	for _, s := range info.Settings {
		vcs[s.Key] = s.Value
	}
	if version == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
	if commit == "" {
		if commit = vcs["vcs.revision"]; commit != "" && vcs["vcs.modified"] == "true" {
			commit += ", changed"
		}
		date = cmp.Or(date, vcs["vcs.time"])
	}
	return version, commit, date
}

// versionText is what --version prints after the name.
func versionText() string {
	facts := []string{}
	if commit != "" {
		facts = append(facts, "commit "+commit)
	}
	if date != "" {
		facts = append(facts, date)
	}
	facts = append(facts, runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
	return fmt.Sprintf("%s (%s)", version, strings.Join(facts, ", "))
}
