package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/cluster"
	"nightshift/internal/session"
)

// documentMax bounds a document that a command reads; a larger one is refused.
const documentMax = 1 << 20

func clusterCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "cluster",
		Short: "Write or check what an EMR cluster needs for user background sessions",
		Example: `  nightshift cluster render --part classifications
  nightshift cluster check security-configuration.json --release emr-7.12.0`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(clusterRenderCommand(), clusterCheckCommand())
	return c
}

func clusterRenderCommand() *cobra.Command {
	var s cluster.Settings
	var part, profile string
	var idle time.Duration
	c := &cobra.Command{
		Use:   "render",
		Short: "Print the security configuration, the classifications or the policies as JSON",
		Long: `render prints one document for people who do not deploy with our CDK app:
  security-configuration  for aws emr create-security-configuration
  classifications         for aws emr create-cluster --configurations
  creator-policy          what the creator of the security configuration needs
  role-policy, role-trust the role of EMR's Identity Center application`,
		Example: `  nightshift cluster render --role arn:aws:iam::123456789012:role/emr-idc --certificates s3://bucket/certs.zip
  nightshift cluster render --part classifications --idle 8h`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := renderCluster(part, s, profile, idle)
			if err != nil {
				return asUsage(err) // all it is made of are flags
			}
			fmt.Fprintln(cmd.OutOrStdout(), string(text))
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&part, "part", "security-configuration", "which document to print")
	f.StringVar(&s.RoleARN, "role", "", "role of EMR's Identity Center application, an ARN")
	f.StringVar(&s.CertificateS3, "certificates", "", "certificates of in-transit encryption, s3://bucket/key.zip")
	f.StringVar(&s.InstanceARN, "instance", "", "Identity Center instance, an ARN (default: the account's own)")
	f.StringVar(&s.SessionTag, "session-tag", "", `Lake Formation's authorized session tag (default "Amazon EMR")`)
	f.BoolVar(&s.Background, "background", true, "whether sessions may outlive their user's sign-out")
	f.BoolVar(&s.AssignmentRequired, "assignment-required", false, "whether only assigned users may use the application")
	f.DurationVar(&idle, "idle", 8*time.Hour, "Livy's own idle limit")
	f.StringVar(&profile, "instance-profile-role", "", "role of the cluster's instance profile, an ARN, for --part role-trust")
	return c
}

func renderCluster(part string, s cluster.Settings, profile string, idle time.Duration) ([]byte, error) {
	switch part {
	case "security-configuration":
		return cluster.Render(s)
	case "classifications":
		if idle < 15*time.Minute || idle > 90*24*time.Hour {
			return nil, usage("--idle: %s is not allowed; it must be from 15m to 2160h (90 days)", idle)
		}
		return json.MarshalIndent(cluster.Classifications(idle), "", "  ")
	case "creator-policy":
		return cluster.CreatorPolicy(), nil
	case "role-policy":
		return cluster.RolePolicy(), nil
	case "role-trust":
		if profile == "" {
			return nil, usage("--instance-profile-role: it is missing; give the ARN of the role that may assume this one")
		}
		if !cluster.IsRole(profile) {
			return nil, usage("--instance-profile-role: %q is not the ARN of an IAM role (arn:aws:iam::123456789012:role/name)", profile)
		}
		return cluster.RoleTrust(profile), nil
	}
	return nil, usage("--part: %q is not allowed; it must be security-configuration, classifications, creator-policy, role-policy or role-trust", part)
}

func clusterCheckCommand() *cobra.Command {
	var asJSON bool
	var release, classifications, bootstrap, studio string
	var masters int
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Read a security configuration and say what it enables",
		Long: `check reads a security configuration (or the answer of aws emr describe-security-configuration;
"-" reads standard input) and says what it enables and what stands in the way of user background
sessions. With flags about the cluster it judges the cluster, too.
Exit status: 0 nothing is wrong, 1 something is, 3 nothing is known to be wrong but something could not be told.`,
		Example: `  nightshift cluster check security-configuration.json --release emr-7.12.0`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readDocument(cmd, args[0])
			if err != nil {
				return asUsage(err)
			}
			conf, err := cluster.Read(text)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("primary-nodes") && masters < 1 {
				return usage("--primary-nodes: %d is not allowed; it must be 1 or more", masters)
			}
			k := cluster.Cluster{ReleaseLabel: release, Masters: masters}
			for _, flag := range []string{"release", "classifications", "bootstrap", "unified-studio", "primary-nodes"} {
				k.Known = k.Known || cmd.Flags().Changed(flag)
			}
			if k.BootstrapConfirmed, err = parseTri("--bootstrap", bootstrap); err != nil {
				return err
			}
			if k.UnifiedStudioCluster, err = parseTri("--unified-studio", studio); err != nil {
				return err
			}
			if classifications != "" {
				text, err := readDocument(cmd, classifications)
				if err != nil {
					return asUsage(err)
				}
				k.Classifications = []cluster.Classification{}
				if err := json.Unmarshal(text, &k.Classifications); err != nil {
					return usage("--classifications: %s is not a JSON list of configuration objects: %w", classifications, err)
				}
			}
			return answerFindings(cmd.OutOrStdout(), cluster.Check(conf, k), asJSON)
		},
	}
	f := c.Flags()
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.StringVar(&release, "release", "", "the cluster's release label, such as emr-7.12.0")
	f.StringVar(&bootstrap, "bootstrap", "unknown", "whether the bootstrap action of emr-7.11 ran: on, off or unknown")
	f.StringVar(&studio, "unified-studio", "unknown", "whether SageMaker Unified Studio provisioned the cluster: on, off or unknown")
	f.IntVar(&masters, "primary-nodes", 0, "how many primary nodes the cluster has")
	f.StringVar(&classifications, "classifications", "", "file with the cluster's configuration objects, JSON")
	return c
}

func parseTri(flag, text string) (session.Tri, error) {
	switch text {
	case "on":
		return session.On, nil
	case "off":
		return session.Off, nil
	case "unknown", "":
		return session.Unknown, nil
	}
	return session.Unknown, usage("%s: %q is not allowed; it must be on, off or unknown", flag, text)
}

// readDocument reads a file, "-" for standard input, of at most documentMax.
func readDocument(cmd *cobra.Command, path string) ([]byte, error) {
	in := cmd.InOrStdin()
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, documentMax+1))
	if err == nil && len(text) > documentMax {
		err = fmt.Errorf("%s is larger than %d bytes", path, documentMax)
	}
	return text, err
}
