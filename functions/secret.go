package functions

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"nightshift/internal/config"
)

// secrets is what is used of Secrets Manager's client.
type secrets interface {
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

// bearer gives the session source's token, which is a secret's text. It is read
// for each list, once a minute, and never kept: a rotated token is taken up with
// the next list, and a secret that cannot be read fails one check of an optional
// source, where reading it at the start would keep the sweep itself from running.
// What a secret holds is in no error.
func bearer(api secrets, arn string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, sessionsTimeout)
		defer cancel()
		out, err := api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(arn)})
		if err != nil {
			return "", fmt.Errorf("read the secret: %w", err)
		}
		token := strings.TrimSpace(aws.ToString(out.SecretString))
		if !config.BearerToken(token) {
			return "", errors.New("the secret is no bearer token; its text must be one: letters, digits and -._~+/=")
		}
		return token, nil
	}
}
