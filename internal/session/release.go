package session

// SupportsBackground says whether a cluster of that release can have background
// sessions at all (S1.3), and what speaks against it or is not known. It reads
// ReleaseLabel, BootstrapConfirmed and UnifiedStudioCluster.
func SupportsBackground(f Facts) (Tri, []string) {
	var values []Tri
	var reasons []string
	for _, p := range release(f) {
		values = append(values, p.value)
		if p.value != On {
			reasons = append(reasons, p.name)
		}
	}
	return and(values...), reasons
}
