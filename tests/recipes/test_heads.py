"""Fitting heads: against scikit-learn, against each other, and on data whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from silverprint.errors import ConfigError
from silverprint.models import stacked_heads
from silverprint.models.head import Head
from silverprint.models.stacked_heads import HeadConfig
from silverprint.recipes.heads import (
    Candidate,
    FitSettings,
    FittedHead,
    HeadData,
    Problem,
    best_of,
    cross_validate_heads,
    default_configs,
    fit_heads,
)

PLAIN = FitSettings(class_weights="none", epochs=15, batch_size=64)
HIDDEN = HeadConfig(hidden_size=16, learning_rate=3e-3, weight_decay=0.01)


def clouds(n: int, classes: int, dimension: int = 6, spread: float = 1.0, seed: int = 0):
    """Gaussian clouds (n, dimension) far from the origin, and their labels (n,)."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 2, (classes, dimension))
    labels = np.arange(n) % classes
    features = centres[labels] + random.normal(0, spread, (n, dimension)) + 3
    return features.astype(np.float32), labels.astype(np.int64)


def data_of(features, labels, *, outputs=None, link="softmax", settings=PLAIN, reference=None):
    outputs = int(labels.max()) + 1 if outputs is None else outputs
    return HeadData.of(features, labels, outputs, link, settings, reference)


def pair(n=240, classes=3, **options) -> tuple[HeadData, HeadData]:
    train = data_of(*clouds(n, classes, **options))
    return train, data_of(*clouds(n // 2, classes, seed=1, **options), reference=train)


def right(fitted: FittedHead, features, labels) -> float:
    return float((fitted.head.logits(features).argmax(1) == labels).mean())


# ---- The exact head ----


@pytest.mark.parametrize("decay", [0.1, 1e-2, 1e-3])
def test_an_exact_head_is_scikit_learns(decay) -> None:
    features, labels = clouds(300, 4, spread=2.5)
    train = data_of(features, labels)
    config = HeadConfig(weight_decay=decay)
    (fitted,) = fit_heads([config], train, train, PLAIN)
    # Ours is mean loss + decay / 2 |W|^2, theirs C * summed loss + 1/2 |W|^2.
    model = LogisticRegression(C=1 / (decay * len(labels)), tol=1e-8, max_iter=2000)
    model.fit(train.features.numpy(), labels)
    ours = torch.tensor(fitted.head.logits(features)).softmax(1).numpy()
    theirs = model.predict_proba(train.features.numpy())
    assert np.abs(ours - theirs).max() < 5e-3
    theirs_loss = -np.log(theirs[np.arange(300), labels]).mean()
    assert fitted.loss == pytest.approx(theirs_loss, rel=2e-3)
    assert fitted.accuracy == pytest.approx((theirs.argmax(1) == labels).mean(), abs=0.005)


def test_an_exact_binary_head_is_scikit_learns() -> None:
    features, labels = clouds(200, 2, spread=3)
    train = data_of(features, labels, outputs=1, link="sigmoid")
    (fitted,) = fit_heads([HeadConfig(weight_decay=0.05)], train, train, PLAIN)
    model = LogisticRegression(C=1 / (0.05 * 200), tol=1e-8, max_iter=2000)
    model.fit(train.features.numpy(), labels)
    assert fitted.head.output_weight.shape == (1, 6)
    ours = torch.tensor(fitted.head.logits(features)[:, 0]).sigmoid().numpy()
    assert np.abs(ours - model.predict_proba(train.features.numpy())[:, 1]).max() < 5e-3


def test_class_weights_are_scikit_learns_balanced() -> None:
    features, labels = clouds(200, 2, spread=4)
    kept = (labels == 0) | (np.arange(200) < 30)
    features, labels = features[kept], labels[kept]
    settings = replace(PLAIN, class_weights="balanced")
    train = data_of(features, labels, outputs=1, link="sigmoid", settings=settings)
    (fitted,) = fit_heads([HeadConfig(weight_decay=0.05)], train, train, settings)
    c = 1 / (0.05 * len(labels))
    model = LogisticRegression(C=c, class_weight="balanced", tol=1e-8, max_iter=2000)
    model.fit(train.features.numpy(), labels)
    ours = torch.tensor(fitted.head.logits(features)[:, 0]).sigmoid().numpy()
    assert np.abs(ours - model.predict_proba(train.features.numpy())[:, 1]).max() < 5e-3


# ---- Alone or together ----


MANY = [
    HeadConfig(),
    HeadConfig(weight_decay=0.3),
    HeadConfig(learning_rate=1e-2),
    HeadConfig(learning_rate=1e-3, label_smoothing=0.1),
    HIDDEN,
    HeadConfig(hidden_size=16, learning_rate=1e-2, dropout=0.5),
    HeadConfig(hidden_size=16, learning_rate=1e-2, dropout=0.2, batch_norm=True),
    HeadConfig(hidden_size=40, learning_rate=1e-3, dropout=0.5, label_smoothing=0.2),
    HeadConfig(hidden_size=40, learning_rate=0.3),  # stops early
]


@pytest.fixture(scope="module")
def together() -> list[FittedHead]:
    return fit_heads(MANY, *pair(spread=2.0), replace(PLAIN, patience=3))


@pytest.mark.parametrize("number", range(len(MANY)))
def test_a_head_does_not_depend_on_what_trains_beside_it(together, number) -> None:
    train, validation = pair(spread=2.0)
    (alone,) = fit_heads([MANY[number]], train, validation, replace(PLAIN, patience=3))
    beside = together[number]
    assert beside.config == MANY[number]
    assert alone.loss == pytest.approx(beside.loss, rel=1e-4)
    assert alone.epochs == beside.epochs
    for name, curve in alone.curves.items():
        assert curve == pytest.approx(beside.curves[name], rel=1e-4), name


def test_two_runs_are_equal_and_seeds_differ() -> None:
    train, validation = pair(spread=2.0)
    configs = MANY[2:7]
    one, two = (fit_heads(configs, train, validation, PLAIN) for _ in range(2))
    other = fit_heads(configs, train, validation, replace(PLAIN, seed=1))
    for a, b, c in zip(one, two, other, strict=True):
        assert a.loss == b.loss
        assert a.curves == b.curves
        np.testing.assert_array_equal(a.head.output_weight, b.head.output_weight)
        assert a.loss != c.loss


def test_fitting_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit_heads(MANY[4:7], *pair(), replace(PLAIN, epochs=2))
    assert torch.equal(torch.rand(3), expected)


# ---- Data whose answer is known ----


@pytest.mark.parametrize(
    "config",
    [
        HeadConfig(),
        HeadConfig(learning_rate=1e-2),
        HIDDEN,
        HeadConfig(hidden_size=16, learning_rate=1e-2, dropout=0.3, batch_norm=True),
    ],
)
@pytest.mark.parametrize("classes", [2, 4])
def test_what_is_separable_is_learned(config, classes) -> None:
    train, validation = pair(classes=classes, spread=0.2)
    (fitted,) = fit_heads([config], train, validation, replace(PLAIN, epochs=40))
    assert fitted.accuracy == 1.0
    features, labels = clouds(100, classes, spread=0.2, seed=2)
    assert right(fitted, features, labels) == 1.0


def test_only_a_hidden_layer_learns_xor() -> None:
    random = np.random.default_rng(0)
    corners = random.integers(0, 2, (400, 2))
    features = (corners * 4 + random.normal(0, 0.3, (400, 2))).astype(np.float32)
    labels = (corners[:, 0] ^ corners[:, 1]).astype(np.int64)
    train = data_of(features[:300], labels[:300], outputs=1, link="sigmoid")
    held = data_of(features[300:], labels[300:], outputs=1, link="sigmoid", reference=train)
    configs = [
        HeadConfig(),
        HeadConfig(learning_rate=1e-2),
        HeadConfig(hidden_size=32, learning_rate=1e-2),
        HeadConfig(hidden_size=32, learning_rate=1e-2, dropout=0.2, batch_norm=True),
    ]
    exact, trained, hidden, normed = fit_heads(configs, train, held, replace(PLAIN, epochs=60))
    assert max(exact.accuracy, trained.accuracy) < 0.8
    assert min(hidden.accuracy, normed.accuracy) == 1.0


def test_multi_label() -> None:
    random = np.random.default_rng(0)
    features = random.normal(0, 1, (400, 5)).astype(np.float32)
    labels = (features[:, :3] > 0).astype(np.uint8)  # some rows have none
    train = data_of(features[:300], labels[:300], outputs=3, link="sigmoid")
    held = data_of(features[300:], labels[300:], outputs=3, link="sigmoid", reference=train)
    configs = [HeadConfig(weight_decay=1e-4), HeadConfig(hidden_size=32, learning_rate=1e-2)]
    for fitted in fit_heads(configs, train, held, replace(PLAIN, epochs=60)):
        assert fitted.accuracy > 0.85  # all three right
        answers = fitted.head.logits(features[300:]) > 0
        assert (answers == labels[300:]).all(1).mean() == pytest.approx(fitted.accuracy)


def test_one_logit_is_of_the_second_class() -> None:
    features, labels = clouds(100, 2, spread=0.2)
    train = data_of(features, labels, outputs=1, link="sigmoid")
    for fitted in fit_heads([HeadConfig(), HIDDEN], train, train, replace(PLAIN, epochs=40)):
        logits = fitted.head.logits(features)
        assert logits.shape == (100, 1)
        assert ((logits[:, 0] > 0) == (labels == 1)).all()


# ---- Weights of classes and rows ----


@pytest.mark.parametrize(
    ("sizes", "wish", "expected"),
    [
        ((30, 10), "auto", (1, 1)),
        ((31, 10), "auto", (41 / 62, 41 / 20)),
        ((30, 10), "balanced", (40 / 60, 40 / 20)),
        ((90, 10), "none", (1, 1)),
        ((10, 0, 40), "balanced", (50 / 20, None, 50 / 80)),
    ],
)
def test_class_weights(sizes, wish, expected) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    features = np.zeros((len(labels), 2), np.float32)
    settings = FitSettings(class_weights=wish)
    data = data_of(features, labels, outputs=len(sizes), settings=settings)
    assert data.class_weight.mean().item() == pytest.approx(1)
    for label, weight in enumerate(expected):
        if weight is not None:
            found = data.class_weight[torch.from_numpy(labels == label)]
            assert found.numpy() == pytest.approx(weight)


def test_balancing_helps_the_rare_class() -> None:
    features, labels = clouds(600, 2, spread=5)
    kept = (labels == 0) | (np.arange(600) < 60)
    recalls = {}
    for wish in ("none", "auto"):
        settings = replace(PLAIN, class_weights=wish, epochs=30)
        train = data_of(features[kept], labels[kept], outputs=1, link="sigmoid", settings=settings)
        for config in (HeadConfig(weight_decay=0.1), HIDDEN):
            (fitted,) = fit_heads([config], train, train, settings)
            recalls[wish, config.hidden_size] = (
                fitted.head.logits(features[labels == 1]) > 0
            ).mean()
    assert recalls["auto", 0] > recalls["none", 0] + 0.2
    assert recalls["auto", 16] > recalls["none", 16] + 0.2


def test_raw_features_of_any_scale_and_place() -> None:
    features, labels = clouds(120, 3, spread=0.3)
    for scaled in (features * 1e4 + 1e5, features * 1e-4):
        data = data_of(scaled.astype(np.float32), labels)
        for fitted in fit_heads([HeadConfig(), HIDDEN], data, data, replace(PLAIN, epochs=40)):
            assert right(fitted, scaled.astype(np.float32), labels) == 1.0


def test_constant_features_are_no_crash() -> None:
    labels = np.arange(40) % 2
    data = data_of(np.full((40, 3), 7, np.float32), labels)
    for fitted in fit_heads([HeadConfig(), HIDDEN], data, data, PLAIN):
        assert fitted.loss == pytest.approx(np.log(2), rel=0.05)


# ---- Regularisation ----


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_head_is_the_module_in_evaluation(batch_norm) -> None:
    """Batch norm is folded into the first layer."""
    features, labels = clouds(200, 3)
    data = data_of(features, labels)
    config = HeadConfig(hidden_size=8, learning_rate=1e-2, batch_norm=batch_norm)
    problem = Problem(config, data.class_weight, data.class_weight)
    candidate = Candidate(problem, inputs=6, outputs=3, seed=0)
    with torch.no_grad():
        candidate.first_bias.normal_()
        candidate.second_bias.normal_()
        if batch_norm:
            candidate.norm.running_mean.normal_()
            candidate.norm.running_var.uniform_(0.2, 3)
            candidate.norm.weight.uniform_(0.5, 2)
            candidate.norm.bias.normal_()
        hidden = data.features @ candidate.first.T + candidate.first_bias
        if batch_norm:
            hidden = candidate.norm.eval()(hidden)
        expected = hidden.relu() @ candidate.second.T + candidate.second_bias
    head = candidate.head()
    np.testing.assert_allclose(head.logits(data.features.numpy()), expected, atol=1e-5)
    raw = head.taking_raw(data.mean, data.scale)
    np.testing.assert_allclose(raw.logits(features), expected, atol=1e-4)


def test_a_batch_normed_head_ships_what_was_judged() -> None:
    train, validation = pair(spread=2.0)
    config = HeadConfig(hidden_size=16, learning_rate=1e-2, batch_norm=True, dropout=0.3)
    (fitted,) = fit_heads([config], train, validation, PLAIN)
    features, labels = clouds(120, 3, spread=2.0, seed=1)
    logits = torch.from_numpy(fitted.head.logits(features))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
    assert loss.item() == pytest.approx(fitted.loss, rel=1e-4)
    assert right(fitted, features, labels) == pytest.approx(fitted.accuracy)
    assert fitted.loss == pytest.approx(min(fitted.curves["validation loss"]))


def test_dropout_0_is_no_dropout_and_more_is_more() -> None:
    train, validation = pair(spread=2.0)
    with_noise = [replace(HIDDEN, dropout=rate) for rate in (0.0, 0.4, 0.8)]
    alone = fit_heads([HIDDEN], train, validation, PLAIN)[0]
    none, some, much = fit_heads(with_noise, train, validation, PLAIN)
    for name, curve in none.curves.items():
        assert curve == pytest.approx(alone.curves[name], rel=1e-5), name
    losses = [fitted.curves["training loss"][-1] for fitted in (none, some, much)]
    assert losses[0] < losses[1] < losses[2]


def test_label_smoothing_keeps_logits_small() -> None:
    train, validation = pair(spread=0.2)
    configs = [HeadConfig(weight_decay=1e-4, label_smoothing=amount) for amount in (0.0, 0.1, 0.4)]
    sizes = [
        np.abs(fitted.head.logits(clouds(50, 3, spread=0.2)[0])).max()
        for fitted in fit_heads(configs, train, validation, PLAIN)
    ]
    assert sizes[0] > 1.5 * sizes[1] > 1.5 * sizes[2]
    # The optimum of a certain row under smoothing e: p = 1 - e + e / 3.
    (fitted,) = fit_heads(
        [HeadConfig(weight_decay=0, label_smoothing=0.3)], train, validation, PLAIN
    )
    features, labels = clouds(90, 3, spread=0.2)
    p = torch.tensor(fitted.head.logits(features)).softmax(1).numpy()
    assert np.median(p[np.arange(90), labels]) == pytest.approx(0.8, abs=0.03)


def test_a_head_stops_when_it_has_learned() -> None:
    features, labels = clouds(80, 3, spread=6)  # mostly noise: it overfits soon
    train = data_of(features, labels)
    validation = data_of(*clouds(80, 3, spread=6, seed=1), reference=train)
    config = HeadConfig(hidden_size=64, learning_rate=1e-2, weight_decay=0)
    settings = replace(PLAIN, epochs=200, patience=4)
    active: list[int] = []
    (fitted,) = fit_heads(
        [config], train, validation, settings, lambda heads, _: active.append(heads)
    )
    losses = fitted.curves["validation loss"]
    assert len(losses) == fitted.epochs + 4 < 100
    assert fitted.epochs == int(np.argmin(losses)) + 1
    assert fitted.loss == min(losses)
    assert active == [1] * (len(losses) - 1) + [0]


def test_a_loss_that_explodes_is_no_best() -> None:
    train, validation = pair()
    wild = HeadConfig(hidden_size=8, learning_rate=10.0, weight_decay=0)
    tame, exploded = fit_heads([HIDDEN, wild], train, validation, PLAIN)
    assert best_of([exploded, tame]) == 1
    assert np.isfinite(tame.loss)


# ---- Cross-validation ----


def folds_of(n: int, count: int = 4) -> np.ndarray:
    return (np.arange(n) // 3) % count


@pytest.mark.parametrize(
    "config", [HeadConfig(), replace(HIDDEN, dropout=0.3), HeadConfig(learning_rate=1e-2)]
)
def test_no_row_is_judged_by_a_head_that_saw_its_label(config) -> None:
    features, labels = clouds(96, 3, spread=1.5)
    fold_of = folds_of(96)
    settings = replace(PLAIN, epochs=1)  # more, and the row would at least say when to stop
    clean = cross_validate_heads([config], data_of(features, labels), fold_of, settings)[0]
    poisoned_labels = np.where(fold_of == 2, (labels + 1) % 3, labels)
    data = data_of(features, poisoned_labels)
    poisoned = cross_validate_heads([config], data, fold_of, settings)[0]
    inside = fold_of == 2
    np.testing.assert_array_equal(poisoned.held_out[inside], clean.held_out[inside])
    assert np.abs(poisoned.held_out[~inside] - clean.held_out[~inside]).max() > 0.01
    # The head that ships has learned from every row, the poison too.
    assert np.abs(poisoned.head.logits(features) - clean.head.logits(features)).max() > 0.01


@pytest.mark.parametrize("config", [HeadConfig(weight_decay=1e-4), HIDDEN])
def test_random_labels_cannot_be_cross_validated(config) -> None:
    """A head that had seen them would know them all: there are more features than rows."""
    random = np.random.default_rng(3)
    features = random.normal(0, 1, (90, 200)).astype(np.float32)
    labels = random.integers(0, 3, 90)
    data = data_of(features, labels)
    (fitted,) = cross_validate_heads([config], data, folds_of(90), replace(PLAIN, epochs=40))
    assert fitted.accuracy < 0.55
    assert fitted.loss > 1.0
    if config.exact:
        assert right(fitted, features, labels) == 1.0


def test_cross_validation_is_that_of_separate_fits() -> None:
    features, labels = clouds(96, 3, spread=2)
    fold_of, data = folds_of(96), data_of(features, labels)
    config = HeadConfig(weight_decay=0.02)
    (fitted,) = cross_validate_heads([config], data, fold_of, PLAIN)
    for fold in range(4):
        out = torch.from_numpy(fold_of != fold)
        teaching = data.rows(out)
        (alone,) = fit_heads([config], teaching, teaching, PLAIN)
        expected = alone.head.logits(features[fold_of == fold])
        np.testing.assert_allclose(fitted.held_out[fold_of == fold], expected, atol=0.02)
    losses = torch.nn.functional.cross_entropy(torch.tensor(fitted.held_out), data.targets)
    assert fitted.loss == pytest.approx(losses.item(), rel=1e-4)
    assert fitted.accuracy == pytest.approx((fitted.held_out.argmax(1) == labels).mean())


def test_the_best_of_several_is_fitted_on_all_rows() -> None:
    features, labels = clouds(96, 3, spread=0.5)
    data = data_of(features, labels)
    configs = [HeadConfig(weight_decay=10.0), HeadConfig(weight_decay=0.01), HIDDEN]
    results = cross_validate_heads(configs, data, folds_of(96), PLAIN)
    assert [result.config for result in results] == configs
    assert best_of(results) == 1
    (whole,) = fit_heads([configs[1]], data, data, PLAIN)
    np.testing.assert_allclose(
        results[1].head.logits(features), whole.head.logits(features), atol=0.02
    )


# ---- Choosing ----


def result(loss: float, hidden: int = 0) -> FittedHead:
    rate = 1e-3 if hidden else None
    head = Head(np.zeros((1, 1), np.float32), np.zeros(1, np.float32))
    return FittedHead(HeadConfig(hidden_size=hidden, learning_rate=rate), head, loss, 0.5)


def test_the_lowest_loss_wins_and_ties_go_to_the_smaller_then_the_first() -> None:
    assert best_of([result(0.3), result(0.2, 8), result(0.25)]) == 1
    assert best_of([result(0.2, 16), result(0.2, 8), result(0.2, 8)]) == 1
    assert best_of([result(0.2000001, 8), result(0.2, 16)]) == 0
    assert best_of([result(float("inf")), result(5.0, 8)]) == 1
    assert best_of([result(float("inf")), result(float("inf"))]) == 0


def test_a_loss_that_is_no_number_never_wins() -> None:
    assert best_of([result(float("nan")), result(5.0, 8)]) == 1
    assert best_of([result(5.0, 8), result(float("nan"))]) == 0


def test_the_default_heads_are_few_and_differ() -> None:
    configs = default_configs()
    assert len(set(configs)) == len(configs) <= 8
    assert {config.exact for config in configs} == {True, False}


# ---- How weights begin, and L1 ----


WAYS = {
    "zeros": (0, 0),
    "ones": (0, 0),
    "uniform": (1 / 3 / 400, 1 / 3 / 300),
    "normal": (1 / 400, 1 / 300),
    "xavier": (2 / 700, 2 / 310),
    "he": (2 / 400, 1 / 300),
}


@pytest.mark.parametrize("way", WAYS)
def test_weights_begin_as_asked(way) -> None:
    """400 features, 300 hidden units, 10 outputs; biases are always zero."""
    config = HeadConfig(hidden_size=300, learning_rate=1e-3, initialisation=way)
    candidate = Candidate(Problem(config, torch.ones(4), None), inputs=400, outputs=10, seed=0)
    for weight, variance in zip((candidate.first, candidate.second), WAYS[way], strict=True):
        assert weight.mean().item() == pytest.approx(float(way == "ones"), abs=0.01)
        assert weight.var().item() == pytest.approx(variance, rel=0.1, abs=1e-9)
    assert not candidate.first_bias.any()
    assert not candidate.second_bias.any()


def test_a_linear_head_begins_at_zeros_unless_told() -> None:
    for way, expected in (("he", 0.0), ("ones", 1.0)):
        config = HeadConfig(learning_rate=1e-3, initialisation=way)
        candidate = Candidate(Problem(config, torch.ones(4), None), inputs=4, outputs=3, seed=0)
        assert (candidate.first == expected).all()


def test_from_equal_weights_hidden_units_stay_equal() -> None:
    """Zeros never learn more than the classes' shares; ones are one unit many times over."""
    train, validation = pair(300, 3)
    configs = [replace(HIDDEN, initialisation=way) for way in ("he", "zeros", "ones")]
    he, zeros, ones = fit_heads(configs, train, validation, PLAIN)
    assert he.accuracy > 0.9
    assert zeros.loss == pytest.approx(np.log(3), abs=0.02)
    assert not zeros.head.hidden_weight.any()
    np.testing.assert_allclose(ones.head.hidden_weight, ones.head.hidden_weight[:1].repeat(16, 0))
    assert he.loss < ones.loss - 0.1


def test_a_new_setting_leaves_the_seeds_of_old_heads_alone() -> None:
    """These numbers are from before there was l1 or a choice of initialisation."""
    assert HeadConfig().seed(0) == 23227280093365099
    assert HeadConfig(16, 1e-3).seed(0) == 35350565804446803
    assert HeadConfig(16, 1e-3, l1=1e-3).seed(0) != HeadConfig(16, 1e-3).seed(0)
    assert HeadConfig(16, 1e-3, initialisation="xavier").seed(0) != HeadConfig(16, 1e-3).seed(0)


def test_l1_empties_what_does_not_matter() -> None:
    """Of 40 columns 6 tell the classes apart. What is noise gets next to no weight."""
    features, labels = clouds(600, 3)
    noise = np.random.default_rng(5).normal(0, 1, (600, 34)).astype(np.float32)
    data = data_of(np.concatenate([features, noise], axis=1), labels)
    plain = HeadConfig(learning_rate=3e-3, weight_decay=0.0)
    settings = replace(PLAIN, epochs=80, patience=80)
    free, sparse, strong = fit_heads(
        [plain, replace(plain, l1=3e-2), replace(plain, l1=2.0)], data, data, settings
    )
    free_noise, sparse_noise = (
        np.abs(fitted.head.output_weight[:, 6:]).mean() for fitted in (free, sparse)
    )
    assert sparse_noise < 0.2 * free_noise
    assert np.abs(sparse.head.output_weight[:, :6]).mean() > 5 * sparse_noise
    assert sparse.accuracy > 0.9
    assert strong.loss > sparse.loss + 0.3


def test_l1_of_one_head_is_nothing_to_another() -> None:
    train, validation = pair()
    alone = fit_heads([HIDDEN], train, validation, PLAIN)[0]
    beside = fit_heads([replace(HIDDEN, l1=0.1), HIDDEN], train, validation, PLAIN)
    assert beside[1].curves["validation loss"] == pytest.approx(
        alone.curves["validation loss"], rel=1e-5
    )
    sums = [np.abs(fitted.head.hidden_weight).sum() for fitted in beside]
    assert sums[0] < 0.9 * sums[1]


# ---- Settings ----


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hidden_size": -1}, r"hidden_size must lie within 0\.\.65536; got -1"),
        ({"dropout": 1.0}, r"dropout must lie within 0\.\.1, 1 excluded; got 1.0"),
        ({"dropout": float("nan")}, r"dropout must lie within .* got nan"),
        ({"weight_decay": -0.1}, r"weight_decay must lie within 0\.\.10; got -0.1"),
        ({"label_smoothing": 1.5}, r"label_smoothing must lie within 0\.\.1; got 1.5"),
        ({"learning_rate": 0.0}, r"learning_rate must lie within above 0, at most 10; got 0.0"),
        ({"learning_rate": float("inf")}, r"learning_rate must lie within .* got inf"),
        ({"l1": -1.0, "learning_rate": 0.1}, r"l1 must lie within 0\.\.10; got -1.0"),
        ({"l1": 0.1}, r"an exact head takes no l1, got 0.1; give a learning_rate"),
        (
            {"initialisation": "xavir"},
            r"one of zeros, ones, .* got 'xavir'\. Did you mean 'xavier'",
        ),
        ({"hidden_size": 1.5}, r"hidden_size must be a whole number; got 1.5"),
        ({"hidden_size": True}, r"hidden_size must be a whole number; got True"),
        ({"dropout": "half"}, r"dropout must be a number; got 'half'"),
        ({"dropout": None}, r"dropout must be a number; got None"),
        ({"batch_norm": 1}, r"batch_norm must be true or false; got 1"),
        ({"hidden_size": 8}, r"a head with a hidden layer needs a learning_rate, such as 0.001"),
    ],
)
def test_a_setting_outside_its_range_is_named(given, message) -> None:
    with pytest.raises(ConfigError, match=message):
        HeadConfig(**given)


@pytest.mark.parametrize("name", ["epochs", "patience", "batch_size"])
def test_what_all_heads_share_is_checked_too(name) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be at least 1; got 0"):
        FitSettings(**{name: 0})


def test_reduced_precision_is_near(monkeypatch) -> None:
    """From REDUCED_COLUMNS on, products are in bf16; the results may only differ by rounding."""
    train, validation = pair(spread=2.0)
    exact = fit_heads(MANY[4:8], train, validation, PLAIN)
    monkeypatch.setattr(stacked_heads, "REDUCED_COLUMNS", 1)
    monkeypatch.setattr(stacked_heads, "_fast_bf16", lambda: True)
    reduced = fit_heads(MANY[4:8], train, validation, PLAIN)
    for one, other in zip(exact, reduced, strict=True):
        assert one.loss != other.loss
        assert one.loss == pytest.approx(other.loss, rel=0.02)
