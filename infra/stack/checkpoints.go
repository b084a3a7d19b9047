package stack

import (
	"regexp"
	"slices"
	"strings"
)

var checkpointForm = regexp.MustCompile(`^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.()'/-]*)?$`)

func checkpointKeys() []Key {
	return []Key{{"checkpointLocations", "[]", "a JSON list of locations in S3, such as s3://bucket/prefix/", "where runs keep their checkpoints: names and times there may be listed, so that a user whose run was stopped is told what it has saved since; elsewhere they are told that it is not known"}}
}

// checkpointGrants let a function list the names of what runs have saved, under
// the locations that are configured and nowhere else.
func (d *deployment) checkpointGrants() []grant {
	prefixes := map[string][]string{}
	var buckets []string
	for _, location := range d.CheckpointLocations {
		bucket, prefix, _ := strings.Cut(strings.TrimPrefix(location, "s3://"), "/")
		if prefix != "" && !strings.HasSuffix(prefix, "/") {
			prefix += "/"
		}
		if prefixes[bucket] == nil {
			buckets = append(buckets, bucket)
		}
		prefixes[bucket] = append(prefixes[bucket], prefix+"*")
	}
	slices.Sort(buckets)
	var all []grant
	for _, bucket := range buckets {
		all = append(all, grant{
			sid: "Checkpoints" + identifier(bucket), actions: []string{"s3:ListBucket"}, resources: []resource{arn("arn:${P}:s3:::%s", bucket)},
			condition: map[string]any{"StringLike": map[string]any{"s3:prefix": texts(prefixes[bucket]...)}},
		})
	}
	return all
}

// identifier is a name of letters and digits only, as a statement's id must be.
func identifier(name string) string {
	var b strings.Builder
	for _, word := range strings.FieldsFunc(name, func(c rune) bool { return c == '-' || c == '.' }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}
