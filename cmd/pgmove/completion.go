package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/stream"
)

// choices are the values of the flags that take one of a few.
var choices = map[string]string{
	"validate": "none count digest", "compress": "zstd gzip none", "format": "auto text binary", "on-error": "stop continue",
	"s3-sse": "AES256 aws:kms", "s3-checksum": "crc32 crc32c crc64nvme sha1 sha256",
	"source-auth": "password rds-iam", "target-auth": "password rds-iam",
}

// shells print their completion scripts. These hold all commands and flags, so that no key press starts pgmove, and
// nothing of the line that is typed is evaluated.
var shells = map[string]func([]*cli.Command) string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}

func newCompletionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the completion script for a shell: bash, zsh or fish",
		ArgsUsage: "bash|zsh|fish",
		Description: `bash:  pgmove completion bash > ~/.local/share/bash-completion/completions/pgmove
       or, for this shell alone: . <(pgmove completion bash)
zsh:   pgmove completion zsh > "${fpath[1]}/_pgmove"
fish:  pgmove completion fish > ~/.config/fish/completions/pgmove.fish`,
		Action: func(c *cli.Context) error {
			script := shells[c.Args().First()]
			if c.NArg() != 1 || script == nil {
				return stream.Fail(stream.Usage, "completion takes the name of a shell").WithHint("pgmove completion bash, zsh or fish")
			}
			_, err := fmt.Fprint(c.App.Writer, script(c.App.VisibleCommands()))
			return err
		},
	}
}

// option is a flag as shells and manual pages see it.
type option struct {
	names  []string // with their dashes
	value  string   // the placeholder of its value, "" for none
	usage  string   // without the placeholder's quotes
	preset string   // the value without the flag, "" where there is none to tell
	env    []string
	few    string // the values it takes, where these are few
}

// options lists a command's flags.
func options(c *cli.Command) (all []option) {
	for _, f := range c.VisibleFlags() {
		d, ok := f.(cli.DocGenerationFlag)
		if !ok || f.Names()[0] == "help" { // which the command that runs has, and the others don't yet
			continue
		}
		o := option{usage: d.GetUsage(), env: d.GetEnvVars(), few: choices[f.Names()[0]]}
		for _, n := range f.Names() {
			if len(n) == 1 {
				o.names = append(o.names, "-"+n)
			} else {
				o.names = append(o.names, "--"+n)
			}
		}
		if d.TakesValue() {
			if o.value = "VALUE"; strings.Count(o.usage, "`") == 2 {
				o.value = strings.Split(o.usage, "`")[1]
			}
			if _, list := f.(*cli.StringSliceFlag); !list {
				o.preset = strings.Trim(d.GetDefaultText(), `"`)
			}
			if f.Names()[0] == "jobs" {
				o.preset = "the number of processors, from 2 to 8" // the same on each machine
			}
		}
		o.usage = strings.ReplaceAll(o.usage, "`", "")
		all = append(all, o)
	}
	return append(all, option{names: []string{"--help", "-h"}, usage: "show help"})
}

func bashCompletion(commands []*cli.Command) string {
	var b, names strings.Builder
	b.WriteString("# bash completion for pgmove; made by pgmove completion bash\n_pgmove() {\n" +
		"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} words=\n\tCOMPREPLY=()\n" +
		"\tcase $COMP_CWORD,$cur,$prev in\n" +
		"\t1,*) words='%COMMANDS% --help --version' ;;\n")
	values := map[string]string{}
	for _, c := range commands {
		fmt.Fprintf(&names, " %s", c.Name)
		for _, o := range options(c) {
			for _, n := range o.names {
				if o.value != "" {
					values[n] = o.few
				}
			}
		}
	}
	b.WriteString("\t*,-*,*) case $command in\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "\t\t%s) words='%s' ;;\n", c.Name, strings.Join(flagNames(c), " "))
	}
	b.WriteString("\t\tesac ;;\n\t*,*,completion) words='bash zsh fish' ;;\n")
	var sorted []string
	for n := range values {
		sorted = append(sorted, n)
	}
	slices.Sort(sorted)
	for _, n := range sorted {
		if values[n] != "" {
			fmt.Fprintf(&b, "\t*,*,%s) words='%s' ;;\n", n, values[n])
		}
	}
	// Values that are not of a few are files as likely as anything.
	b.WriteString("\tesac\n\tif [[ $words ]]; then\n\t\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n\tfi\n}\n" +
		"complete -o bashdefault -o default -F _pgmove pgmove\n")
	return strings.Replace(b.String(), "%COMMANDS%", strings.TrimSpace(names.String()), 1)
}

func flagNames(c *cli.Command) (names []string) {
	for _, o := range options(c) {
		for _, n := range o.names {
			if strings.HasPrefix(n, "--") {
				names = append(names, n)
			}
		}
	}
	return names
}

// single quotes a text for a shell.
func single(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func zshCompletion(commands []*cli.Command) string {
	var b strings.Builder
	b.WriteString("#compdef pgmove\n# zsh completion for pgmove; made by pgmove completion zsh\n_pgmove() {\n" +
		"\tlocal -a commands\n\tcommands=(\n")
	plain := strings.NewReplacer(":", `\:`, "[", `\[`, "]", `\]`, "\\", `\\`)
	for _, c := range commands {
		fmt.Fprintf(&b, "\t\t%s\n", single(c.Name+":"+c.Usage))
	}
	b.WriteString("\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe -t commands command commands\n\t\t_arguments '--help[show help]' '--version[show the version]'\n\t\treturn\n\tfi\n" +
		"\tlocal command=$words[2]\n\tshift words\n\t(( CURRENT-- ))\n\tcase $command in\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "\t%s)\n\t\t_arguments", c.Name)
		for _, o := range options(c) {
			for _, n := range o.names {
				spec := "*" + n + "[" + plain.Replace(o.usage) + "]"
				switch {
				case o.few != "":
					spec += ":" + plain.Replace(o.value) + ":(" + plain.Replace(o.few) + ")"
				case o.value != "":
					spec += ":" + plain.Replace(o.value) + ":_files"
				}
				fmt.Fprintf(&b, " \\\n\t\t\t%s", single(spec))
			}
		}
		switch {
		case c.Name == "completion":
			b.WriteString(" \\\n\t\t\t'1:shell:(bash zsh fish)'")
		case c.ArgsUsage != "":
			fmt.Fprintf(&b, " \\\n\t\t\t%s", single("*:"+c.ArgsUsage+":_files"))
		}
		b.WriteString("\n\t\t;;\n")
	}
	// Called by compinit's own function of this name, or read by hand.
	b.WriteString("\tesac\n}\nif [[ $funcstack[1] == _pgmove ]]; then\n\t_pgmove \"$@\"\nelse\n\tcompdef _pgmove pgmove\nfi\n")
	return b.String()
}

func fishCompletion(commands []*cli.Command) string {
	var b strings.Builder
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'" }
	b.WriteString("# fish completion for pgmove; made by pgmove completion fish\n" +
		"complete -c pgmove -n __fish_use_subcommand -f -l help -s h -d 'show help'\n" +
		"complete -c pgmove -n __fish_use_subcommand -f -l version -s v -d 'show the version'\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "complete -c pgmove -n __fish_use_subcommand -f -a %s -d %s\n", c.Name, quote(c.Usage))
		within := quote("__fish_seen_subcommand_from " + c.Name)
		if c.Name == "completion" {
			fmt.Fprintf(&b, "complete -c pgmove -n %s -f -a 'bash zsh fish'\n", within)
		}
		for _, o := range options(c) {
			fmt.Fprintf(&b, "complete -c pgmove -n %s", within)
			for _, n := range o.names {
				if strings.HasPrefix(n, "--") {
					fmt.Fprintf(&b, " -l %s", n[2:])
				} else {
					fmt.Fprintf(&b, " -s %s", n[1:])
				}
			}
			switch {
			case o.few != "":
				fmt.Fprintf(&b, " -x -a %s", quote(o.few))
			case o.value != "":
				b.WriteString(" -r")
			}
			fmt.Fprintf(&b, " -d %s\n", quote(o.usage))
		}
	}
	return b.String()
}
