package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// splitShort puts right what make and pg_dump accept and the flag parser does not: a one-letter flag with its value attached, as
// in -j4, and one flag by its short and its long name in one command. Values of other flags, names of long flags with one dash, and all that follows "--" stay as they are.
func splitShort(args []string, commands []*cli.Command) []string {
	if len(args) < 3 {
		return args
	}
	var command *cli.Command
	for _, c := range commands {
		if c.HasName(args[1]) {
			command = c
		}
	}
	if command == nil {
		return args
	}
	takes := map[string]bool{}  // by name: whether the flag takes a value
	long := map[string]string{} // by name: the flag's first
	for _, f := range command.Flags {
		v, ok := f.(cli.DocGenerationFlag)
		for _, n := range f.Names() {
			takes[n], long[n] = ok && v.TakesValue(), f.Names()[0]
		}
	}
	out := slices.Clone(args[:2])
	for i := 2; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			return append(out, args[i:]...)
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(a, "-"), "-"), "=")
		_, known := takes[name]
		switch {
		case !strings.HasPrefix(a, "-") || a == "-":
			out = append(out, a)
		case known && hasValue:
			out = append(out, "--"+long[name]+"="+value)
		case known:
			out = append(out, "--"+long[name])
			if takes[name] && i+1 < len(args) {
				i++
				out = append(out, args[i]) // its value, whatever it looks like
			}
		case a[1] != '-' && len(a) > 2 && takes[a[1:2]]:
			out = append(out, "--"+long[a[1:2]], a[2:])
		default:
			out = append(out, a)
		}
	}
	return out
}
