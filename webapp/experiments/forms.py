"""Small forms of the experiments pages. The compose form is not here: it is made from the spec."""

from django import forms


class LaunchAgainForm(forms.Form):
    seed = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=2**31 - 1,
        error_messages={
            "invalid": "A seed is a whole number.",
            "min_value": "A seed is at least 0.",
            "max_value": "A seed is at most 2147483647.",
        },
    )
