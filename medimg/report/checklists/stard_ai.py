"""STARD-AI: diagnostic accuracy studies of AI, 40 items in 48 rows."""

from medimg.report.checklists import compared, found, made
from medimg.report.checklists.items import Guideline
from medimg.report.checklists.items import Topic as T

STARD_AI = Guideline(
    "STARD-AI",
    "Sounderajah et al., Nature Medicine 31 (2025) 3283, doi 10.1038/s41591-025-03953-8",
    {
        "Title or abstract": (T("1", "Accuracy study of AI named, with a measure of accuracy"),),
        "Abstract": (T("2", "Structured summary"),),
        "Introduction": (
            T("3", "Background, intended use, place in the workflow"),
            T("4", "Objectives and hypotheses"),
        ),
        "Methods: study design": (T("5", "Prospective or retrospective"),),
        "Methods: ethics": (T("6", "Ethical approval"),),
        "Methods: participants": (
            T(
                "7",
                "Inclusion and exclusion, of participants and of data",
                made.unread,
                "the criteria in the order in which they were applied",
            ),
            T("8", "How participants were identified"),
            T("9", "Setting, place and dates"),
            T("10", "Consecutive, random or convenience series"),
        ),
        "Methods: dataset": (
            T("11", "Source of the data", made.sources, "where from, and whether from routine"),
            T("12", "Who annotated, and how"),
            T("13", "Devices and software", made.software, "devices that took the images"),
            T("14", "Acquisition and preprocessing", made.preprocess, "how images were taken"),
        ),
        "Methods: test methods": (
            T("15a", "Index test", made.model, "what else it needs to be repeated"),
            T("15b", "Development of the index test, with sample sizes", made.built),
            T("15c", "Cut-offs of the index test", found.cutoffs, "why these"),
            T("15d", "End user and the expertise needed"),
            T("16a", "Reference standard"),
            T("16b", "Why this reference standard"),
            T("16c", "Cut-offs of the reference standard"),
            T("17a", "What readers of the index test knew", made.pixels_alone),
            T("17b", "What assessors of the reference standard knew"),
        ),
        "Methods: analysis": (
            T("18", "How accuracy was estimated or compared", found.assessed),
            T(
                "19",
                "Indeterminate results",
                found.indeterminate,
                "those of the reference standard",
            ),
            T("20", "Missing data", found.missing, "how many were unknown, and why"),
            T("21", "Variability of accuracy", compared.compared, "whether it was planned before"),
            T("22", "Intended sample size", found.sample, "how the size was planned"),
            T("23", "Error analysis, bias and fairness", compared.compared, "why these groups"),
        ),
        "Results: participants and dataset": (
            T("24", "Flow of participants", made.flow, "who was left out before; a diagram"),
            T(
                "25",
                "Characteristics of training, validation and test set",
                compared.characteristics,
                "demographic, clinical and technical columns, and the other sets",
            ),
            T("26a", "Severity in those with the condition", found.grades, "what grades mean"),
            T("26b", "Other diagnoses in those without it"),
            T("27", "Time and treatment between the tests"),
            T(
                "28",
                "Condition as common as where it will be used",
                found.classes,
                "how common it is in those whom the test is meant for",
            ),
            T("29", "How an external set differs", compared.other_set, "what made it differ"),
        ),
        "Results: test results": (
            T("30", "Index test against reference standard", found.crosstab),
            T("31", "Accuracy with its precision", found.accuracy),
            T("32", "Adverse events"),
        ),
        "Discussion": (
            T("33", "Limitations, bias and generalizability"),
            T("34", "Implications for practice"),
            T("35", "Ethics and fairness of its use"),
        ),
        "Other information": (
            T("36", "Registration"),
            T("37", "Where the protocol is"),
            T("38", "Funding and the role of funders"),
            T("39", "Commercial interests"),
            T("40a", "Availability of data and code"),
            T("40b", "Outputs kept and open to audit", made.stored, "who may see them"),
        ),
    },
)
