package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// execute runs one command line.
func execute(ctx context.Context, args []string, t *terminal) error {
	root := rootCommand(t)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	return named(cmd, err)
}

func rootCommand(t *terminal) *cobra.Command {
	root := &cobra.Command{
		Use:   "nightshift",
		Short: "Let long AWS work go on after sign-out where policy allows it, and stop it in time where not",
		Long: `nightshift shows and ends the sessions of a Nightshift: of the local system that
"nightshift up" runs (unless you say otherwise), or of a deployment in an AWS
account (--stack, --profile, --region; or NIGHTSHIFT_API). The same commands work
on both, and answer JSON with --json.

Exit statuses: "nightshift help exit-codes".`,
		Example: `  nightshift up --speed 60          # a local system, in another terminal
  nightshift sessions --due-within 1h
  nightshift why s-28125048ea114d4024215597
  nightshift revoke --user u-ana
  nightshift sessions --stack nightshift --profile admin`,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(t.in)
	root.SetOut(t.out)
	root.SetErr(t.err)
	root.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		near := ""
		if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
			near = "; did you mean " + strings.Join(like, " or ") + "?"
		}
		return fmt.Errorf("%q is no command%s (nightshift help lists them)", args[0], near)
	}
	root.SuggestionsMinimumDistance = 2
	group := func(id, title string, commands ...*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: id, Title: title})
		for _, c := range commands {
			c.GroupID = id
		}
		root.AddCommand(commands...)
	}
	group("look", "See and understand:", sessionsCommand(t), notebooksCommand(t), whyCommand(t), whatIfCommand(t), noticesCommand(t), costCommand(t), proveCommand(t))
	group("act", "Act:", stopCommand(t), restartCommand(t), extendCommand(t), revokeCommand(t), lockCommand(t), unlockCommand(t), policyCommand(t))
	group("operate", "Operate:", parkedCommand(t), repairCommand(t), restoreCommand(t))
	group("set", "Try out and set up:", doctorCommand(t), upCommand(t), demoCommand(t.now), eventsCommand(t), decideCommand(), clusterCommand())
	root.AddCommand(exitsTopic())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.SetFlagErrorFunc(flagRefused)
	// cobra misspells the head of what has no command.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "help topcis", "help topics", 1))
	checkArguments(root)
	for _, do := range t.late {
		do()
	}
	t.late = nil
	return root
}

// checkArguments makes every refusal of arguments one of usage.
func checkArguments(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error { return asUsage(check(cmd, args)) }
	}
	for _, below := range c.Commands() {
		checkArguments(below)
	}
}

// only takes exactly one argument, by its name and what it must be.
func only(name, must string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return fmt.Errorf("%s: it is missing; give %s", name, must)
		case len(args) > 1:
			return fmt.Errorf("%s: give one, not %d%s", name, len(args), joined(cmd, args[len(args)-1]))
		case args[0] == "":
			return fmt.Errorf("%s: it is empty; give %s", name, must)
		}
		return nil
	}
}

// noArguments refuses all.
func noArguments(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasSubCommands():
		return fmt.Errorf("%q is no command of %s (%s --help lists them)", args[0], cmd.CommandPath(), cmd.CommandPath())
	}
	return fmt.Errorf("%q: %s takes no arguments, only flags%s", args[0], cmd.CommandPath(), joined(cmd, args[0]))
}

// joined says how an address is given to --local, which also stands alone.
func joined(cmd *cobra.Command, argument string) string {
	if f := cmd.Flags().Lookup("local"); f == nil || !f.Changed || !strings.Contains(argument, "://") {
		return ""
	}
	return "; write --local=" + argument
}

// choice completes a flag by its values, and refuses others where the API is not
// asked.
func choice(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // a flag that is not there: a fault of this program
	}
}

// exactlyOne refuses flags of which not exactly one was given.
func exactlyOne(cmd *cobra.Command, flags ...string) error {
	given := slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return !cmd.Flags().Changed(f) })
	if len(given) == 1 {
		return nil
	}
	return usage("--%s: give exactly one of them", strings.Join(flags, ", --"))
}
