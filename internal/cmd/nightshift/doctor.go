package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/spf13/cobra"

	"nightshift/internal/client"
	"nightshift/internal/config"
	"nightshift/internal/doctor"
	awsaccount "nightshift/internal/doctor/account"
	"nightshift/internal/finding"
	"nightshift/internal/inbound"
	"nightshift/internal/local"
	"nightshift/internal/session"
	"nightshift/internal/workload"
)

// doctorOptions are the flags of doctor.
type doctorOptions struct {
	reach
	clusters, domains     []string
	job                   string
	identityRegion, store string
	bootstrap, instance   string
	scim                  string
	rules, permissions    bool
}

func doctorCommand(t *terminal) *cobra.Command {
	o := doctorOptions{reach: reach{terminal: t}}
	cmd := &cobra.Command{
		Use:   "doctor [--cluster ID]… [--domain ID]… [--job FILE]",
		Short: "Check what sessions depend on before anyone relies on it, and say how to mend it; changes nothing",
		Long: `doctor reads an account, or a local system's, and says of each thing that a session
depends on whether it is ok, and how to mend it: switches at all three levels,
releases and bootstrap, Livy's timeouts, trust policies, the trail and the rules,
the identity provider's token, subnets, endpoints, quotas. It looks at the account
and at every cluster and domain there; --cluster and --domain name those to look at
instead, --job adds a run by its input, as aws stepfunctions start-execution takes it.

What cannot be read (access denied, no answer, not configured) is unknown, never ok.
Exit status: 0 nothing is wrong (there may be warnings), 1 something is, 3 nothing is
known to be wrong but something could not be told, 2 a flag is wrong.

--rules lists what is checked and from where it follows; --permissions prints the
IAM policy that the doctor needs, of actions that only read.`,
		Example: `  nightshift doctor                              # a local system
  nightshift doctor --stack nightshift --profile admin --json
  nightshift doctor --cluster j-2AXXXXXXGAPLF --bootstrap on --stack nightshift
  nightshift doctor --job churn.json --stack nightshift
  nightshift doctor --permissions > doctor-policy.json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.permissions:
				return printPermissions(cmd.OutOrStdout())
			case o.rules:
				return o.printRules(cmd.OutOrStdout())
			case o.as != "":
				return usage("--as: the doctor reads an account, which is nobody's; leave it out")
			}
			return o.doctor(cmd)
		},
	}
	o.reach.flags(cmd)
	f := cmd.Flags()
	f.Lookup("json").Usage = "print JSON: the worst result, and all findings"
	f.StringArrayVar(&o.clusters, "cluster", nil, "look at this EMR cluster, and at no other that is not named; may be repeated")
	f.StringArrayVar(&o.domains, "domain", nil, "look at this Studio domain, and at no other that is not named; may be repeated")
	f.StringVar(&o.job, "job", "", `look at the run that would be started with this input of the machine run; "-": standard input`)
	f.StringVar(&o.identityRegion, "identity-region", "", "Identity Center's region; empty: as the deployment was told, else the region itself")
	f.StringVar(&o.store, "identity-store", "", "the identity store; empty: as the deployment was told")
	f.StringVar(&o.bootstrap, "bootstrap", "unknown", "whether the bootstrap action of emr-7.11 ran on the clusters: on, off or unknown")
	f.StringVar(&o.instance, "instance-background", "", "whether the Identity Center instance has background sessions on: on, off or unknown; empty: as Nightshift's policy says")
	f.StringVar(&o.scim, "scim-token", "", `when the identity provider's token was made, such as 2026-03-01, or "none"; empty: look in CloudTrail`)
	for _, flag := range []string{"bootstrap", "instance-background"} {
		choice(cmd, flag, "on", "off", "unknown")
	}
	f.BoolVar(&o.rules, "rules", false, "list the checks")
	f.BoolVar(&o.permissions, "permissions", false, "print the IAM policy that the doctor needs")
	return cmd
}

// heard is what somebody who knows has said, or Nightshift has.
type heard struct {
	bootstrap session.Tri
	instance  doctor.Fact[session.Tri]
	idle      doctor.Fact[time.Duration]
	endpoints doctor.Fact[[]doctor.Endpoint]
	scim      *doctor.Scim
	now       time.Time
}

func (o *doctorOptions) doctor(cmd *cobra.Command) error {
	known, err := o.said()
	if err != nil {
		return err
	}
	deployed, err := o.deployed(cmd)
	if err != nil {
		return err
	}
	run, err := o.run(cmd)
	if err != nil {
		return err
	}
	conf, err := o.conf(cmd.Context(), deployed)
	if err != nil {
		return err
	}
	o.ask(cmd, &known)
	reader := awsaccount.New(conf, o.identityRegion, &http.Client{Timeout: answersWithin}, func() time.Time { return o.moment(known) })
	all := doctor.Check(o.facts(cmd.Context(), reader, known, run))
	return o.answer(cmd, all)
}

// answersWithin bounds one request.
const answersWithin = 20 * time.Second

// said reads the flags that say what no API tells.
func (o *doctorOptions) said() (heard, error) {
	var h heard
	var err error
	if h.bootstrap, err = parseTri("--bootstrap", o.bootstrap); err != nil {
		return h, err
	}
	if o.instance != "" {
		instance, err := parseTri("--instance-background", o.instance)
		if err != nil {
			return h, err
		}
		h.instance = doctor.Read(instance)
	}
	switch o.scim {
	case "":
	case "none":
		h.scim = &doctor.Scim{}
	default:
		made, err := time.Parse(time.DateOnly, o.scim)
		if err != nil {
			return h, usage("--scim-token: %q is not allowed; it must be a day such as 2026-03-01, or none", o.scim)
		}
		h.scim = &doctor.Scim{Used: true, Created: made}
	}
	return h, nil
}

// moment is the time of the system that is looked at, which runs fast in a local
// one.
func (o *doctorOptions) moment(h heard) time.Time {
	if h.now.IsZero() {
		return o.now()
	}
	return h.now
}

// conf is how the account is reached: a local system plays one at its door.
func (o *doctorOptions) conf(ctx context.Context, deployed bool) (aws.Config, error) {
	if deployed {
		return o.account(ctx)
	}
	door, err := o.door()
	return aws.Config{
		Region: local.Region, BaseEndpoint: aws.String(door), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""), HTTPClient: &http.Client{Timeout: answersWithin},
	}, err
}

// ask asks Nightshift itself; what it does not answer stays unknown, with why.
func (o *doctorOptions) ask(cmd *cobra.Command, h *heard) {
	c, err := o.open(cmd)
	var p client.Policy
	var a client.Answer
	if err == nil {
		a, err = c.Get(cmd.Context(), "/api/policy", &p)
	}
	if err != nil {
		why := "Nightshift did not say (" + err.Error() + ")"
		if !h.instance.Known {
			h.instance = doctor.Unread[session.Tri](why)
		}
		h.idle, h.endpoints = doctor.Unread[time.Duration](why), doctor.Unread[[]doctor.Endpoint](why)
		return
	}
	h.now = a.At
	if said, is := p.Policy["instanceBackground"].(string); is && !h.instance.Known {
		if on, err := parseTri("instanceBackground", said); err == nil {
			h.instance = doctor.Read(on)
		}
	}
	if idle, err := time.ParseDuration(fmt.Sprint(p.Policy["livyIdle"])); err == nil {
		h.idle = doctor.Read(idle)
	}
	var tended struct{ Endpoints []client.Endpoint }
	if _, err := c.Get(cmd.Context(), "/api/endpoints", &tended); err != nil {
		h.endpoints = doctor.Unread[[]doctor.Endpoint]("Nightshift did not say (" + err.Error() + ")")
		return
	}
	list := []doctor.Endpoint{}
	for _, e := range tended.Endpoints {
		listed, _ := time.Parse(time.RFC3339Nano, e.LastListed) // none: never
		list = append(list, doctor.Endpoint{ID: e.ID, Live: e.Live, Capacity: e.Capacity, LastListed: listed})
	}
	h.endpoints = doctor.Read(list)
}

// facts reads everything that was asked about.
func (o *doctorOptions) facts(ctx context.Context, r *awsaccount.Reader, h heard, run *runInput) doctor.Facts {
	a := r.Account(ctx, awsaccount.Asked{Stack: o.stack, IdentityStore: o.store, IdentityRegion: o.identityRegion, Scim: h.scim})
	a.InstanceBackground, a.Endpoints = h.instance, h.endpoints
	f := doctor.Facts{Account: &a}
	clusters, domains := o.clusters, o.domains
	if run != nil && run.cluster != "" {
		clusters = append(clusters, run.cluster)
	}
	if len(clusters)+len(domains) == 0 && run == nil {
		clusters = awsaccount.Clusters(a)
		found := r.Domains(ctx)
		if domains = found.Value; !found.Known {
			f.Domains = append(f.Domains, doctor.Domain{Status: doctor.Unread[string](found.Why), Home: doctor.Unread[[]string](found.Why)})
		}
	}
	for _, id := range clusters {
		var said *config.Endpoint
		for _, e := range a.Settings.Value.Endpoints {
			if e.ID == "livy/"+id {
				said = &e
			}
		}
		c := r.Cluster(ctx, id, said)
		c.Idle = h.idle
		c.Facts.BootstrapConfirmed = bootstrapped(c, h.bootstrap)
		f.Clusters = append(f.Clusters, c)
	}
	for _, id := range domains {
		f.Domains = append(f.Domains, r.Domain(ctx, id))
	}
	if run != nil {
		f.Jobs = append(f.Jobs, run.job(ctx, r))
	}
	return f
}

// bootstrapped is whether the script of emr-7.11 ran, by who knows: a person, then
// what the deployment was told. That no script ran at all, EMR knows best.
func bootstrapped(c doctor.Cluster, said session.Tri) session.Tri {
	is := c.Facts.BootstrapConfirmed
	if is == session.Unknown && said != session.Unknown {
		return said
	}
	if is == session.Unknown && c.Said != nil {
		return c.Said.Facts.BootstrapConfirmed
	}
	return is
}

// runInput is an input of the machine run.
type runInput struct {
	name, cluster, checkpoint, missing string
	engine                             workload.Engine
	spec                               []byte
}

// run reads the job's file; nil where there is none.
func (o *doctorOptions) run(cmd *cobra.Command) (*runInput, error) {
	if o.job == "" {
		return nil, nil //nolint:nilnil // no file is no error
	}
	text, err := readDocument(cmd, o.job)
	if err != nil {
		return nil, asUsage(err)
	}
	request, spec, err := inbound.ParseRun("", text)
	if err != nil {
		return nil, usage("--job: %s is no input of the machine run: %w", o.job, err)
	}
	again, err := inbound.Again(text, "s-before")
	if err != nil {
		return nil, usage("--job: %s: %w", o.job, err)
	}
	r := &runInput{name: filepath.Base(o.job), engine: request.Run.Engine, spec: spec, checkpoint: again.Checkpoint, missing: again.Missing}
	switch id, livy := strings.CutPrefix(request.Run.Endpoint, "livy/"); {
	case livy && strings.HasPrefix(id, "j-"):
		r.cluster = id
	case request.Run.Engine == workload.EMRNotebook:
		var in struct {
			ExecutionEngine struct{ ID string } `json:"ExecutionEngine"`
		}
		_ = json.Unmarshal(spec, &in) // ParseRun has read it
		r.cluster = in.ExecutionEngine.ID
	}
	return r, nil
}

func (r *runInput) job(ctx context.Context, reader *awsaccount.Reader) doctor.Job {
	j, err := reader.Job(ctx, r.name, r.engine, r.spec)
	if err != nil {
		j.Fault = err.Error()
	}
	j.Checkpoint, j.Missing = r.checkpoint, r.missing
	return j
}

// answer prints the findings and how many there are of each kind.
func (o *doctorOptions) answer(cmd *cobra.Command, all []finding.Finding) error {
	if o.asJSON {
		return answerFindings(cmd.OutOrStdout(), all, true)
	}
	err := answerFindings(cmd.OutOrStdout(), all, false)
	count := map[finding.Result]int{}
	for _, f := range all {
		count[f.Result]++
	}
	var parts []string
	for _, r := range finding.Results() {
		parts = append(parts, fmt.Sprintf("%d %s", count[r], r))
	}
	fmt.Fprintf(cmd.OutOrStdout(), "\n%d checks: %s\n", len(all), strings.Join(parts, ", "))
	return err
}

// printPermissions prints the policy that the doctor needs. What it describes
// cannot be named before it is known.
func printPermissions(out io.Writer) error {
	return indented(out, map[string]any{"Version": "2012-10-17", "Statement": []any{
		map[string]any{"Sid": "NightshiftDoctorReads", "Effect": "Allow", "Action": doctor.Actions(), "Resource": "*"},
	}})
}

func (o *doctorOptions) printRules(out io.Writer) error {
	if o.asJSON {
		return indented(out, map[string]any{"rules": doctor.Rows()})
	}
	for _, r := range doctor.Rows() {
		name := r.Check
		if name == "" {
			name = "(several)"
		}
		fmt.Fprintf(out, "%-8s %s\n", r.About, name)
		o.paragraph(out, "         ", r.Says+" ("+r.From+").")
	}
	return nil
}

func indented(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
